"""psycopg 3, as its documentation tells: a connection per thread, conn.transaction(), a prepared statement."""
import sys
import threading

import psycopg

from course import course

url = sys.argv[1]
own = threading.local()
TABLE = "rows_of_psycopg3"


def connection():
    """This thread's; another one if it was lost."""
    if not hasattr(own, "conn") or own.conn.closed:
        own.conn = psycopg.connect(url, autocommit=True)
    return own.conn


def write(worker, key):
    conn = connection()
    with conn.transaction():
        conn.execute(f"INSERT INTO {TABLE} VALUES (%s, %s)", (key, worker), prepare=True)
        conn.execute(f"SELECT count(*) FROM {TABLE} WHERE worker = %s", (worker,)).fetchone()


def keys():
    return [key for (key,) in connection().execute(f"SELECT key FROM {TABLE}")]


def close():
    if hasattr(own, "conn"):
        own.conn.close()


connection().execute(f"CREATE TABLE {TABLE} (key text, worker int)")
course(psycopg.__version__, write, keys, close)
