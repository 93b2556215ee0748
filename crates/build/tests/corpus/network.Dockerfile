# peers: docker
FROM base
RUN --network=none cat /proc/net/dev | wc -l > /dev/null; echo done > /done
RUN cat /etc/hostname > /dev/null 2>&1; echo "$HOSTNAME" > /dev/null; ls /dev | grep -E '^(null|zero|full|random|urandom|tty|pts|shm|fd|stdin|stdout|stderr)$' | sort > /devices
