"""psycopg2, as its documentation tells: `with conn` is a transaction. It sends everything as simple queries."""
import sys
import threading

import psycopg2

from course import course

url = sys.argv[1]
own = threading.local()
TABLE = "rows_of_psycopg2"


def connection():
    """This thread's; another one if it was lost."""
    if not hasattr(own, "conn") or own.conn.closed:
        own.conn = psycopg2.connect(url)
    return own.conn


def write(worker, key):
    with connection() as conn, conn.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s)", (key, worker))


def keys():
    with connection() as conn, conn.cursor() as cursor:
        cursor.execute(f"SELECT key FROM {TABLE}")
        return [key for (key,) in cursor.fetchall()]


def close():
    if hasattr(own, "conn"):
        own.conn.close()


with connection() as first, first.cursor() as creating:
    creating.execute(f"CREATE TABLE {TABLE} (key text, worker int)")
course(psycopg2.__version__, write, keys, close)
