FROM eclipse-temurin:21-jdk AS build
COPY . /src
RUN cd /src && ./mvnw -q package
RUN java -Djarmode=layertools -jar /src/target/app.jar extract --destination /layers
FROM eclipse-temurin:21-jre
ENV JAVA_OPTS="-Xmx256m"
COPY --from=build /layers/dependencies/ /app/
COPY --from=build /layers/application/ /app/
ENTRYPOINT exec java $JAVA_OPTS org.example.Main
