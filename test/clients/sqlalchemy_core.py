"""SQLAlchemy over psycopg2, as its documentation tells: an engine with its pool, engine.begin()."""
import sys

import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert, select

from course import course

engine = create_engine(sys.argv[1], pool_size=4)
metadata = MetaData()
table = Table("rows_of_sqlalchemy", metadata, Column("key", Text), Column("worker", Integer))
metadata.create_all(engine)


def write(worker, key):
    with engine.begin() as conn:
        conn.execute(insert(table).values(key=key, worker=worker))


def keys():
    with engine.connect() as conn:
        return [key for (key,) in conn.execute(select(table.c.key))]


course(sqlalchemy.__version__, write, keys)
