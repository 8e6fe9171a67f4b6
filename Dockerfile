# lokiredis for docker-compose.yml: single commands and workers. The Redis is a container of its own.
FROM python:3.12-slim

COPY pyproject.toml README.md LICENSE CHANGELOG.md /src/
COPY lokiredis /src/lokiredis
COPY lua /src/lua
RUN pip install --no-cache-dir --root-user-action ignore /src && useradd --create-home loki

USER loki
WORKDIR /home/loki
ENTRYPOINT ["lokiredis"]
CMD ["--help"]
