FROM --platform=linux/arm64 image AS arm64
FROM arm64 AS same
FROM --platform=linux/s390x same
