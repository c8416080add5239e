"""Django's ORM over psycopg2, as its documentation tells: a model, transaction.atomic(), persistent connections."""
import sys
from urllib.parse import urlparse

import django
from django.conf import settings

url = urlparse(sys.argv[1])
settings.configure(
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": url.username,
            "PASSWORD": url.password,
            "HOST": url.hostname,
            "PORT": url.port,
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()

from django.db import close_old_connections, connection, models, transaction  # noqa: E402

from course import course  # noqa: E402


class Row(models.Model):
    key = models.TextField()
    worker = models.IntegerField()

    class Meta:
        app_label = "clients"
        db_table = "rows_of_django"


def write(worker, key):
    # As Django does around a request: a connection that was lost is replaced.
    close_old_connections()
    with transaction.atomic():
        Row.objects.create(key=key, worker=worker)


def keys():
    return list(Row.objects.values_list("key", flat=True))


with connection.schema_editor() as editor:
    editor.create_model(Row)
course(django.get_version(), write, keys, lambda: connection.close())
