# peers: docker buildah
FROM base
RUN mkdir /was-folder && touch /was-folder/x && touch /was-file && ln -s /tmp /was-link
RUN rm -r /was-folder && echo f > /was-folder && rm /was-file && mkdir /was-file && touch /was-file/in && rm /was-link && mkdir /was-link
