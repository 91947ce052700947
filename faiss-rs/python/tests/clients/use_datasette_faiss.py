"""datasette-faiss: nearest neighbours as functions of SQL, over a table of a Datasette server."""

import asyncio
import json
import sqlite3

import numpy as np
import pytest
from common import distances, loaded, nearest, vectors
from datasette.app import Datasette
from datasette_faiss import encode

XB, XQ = vectors(200, 12), vectors(3, 12, seed=1)


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "blog.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table embeddings (id integer primary key, embedding blob)")
        connection.executemany("insert into embeddings values (?, ?)", [(i, encode(row)) for i, row in enumerate(XB)])
    connection.close()
    tables = {"plugins": {"datasette-faiss": {"tables": [["blog", "embeddings"]]}}}
    return Datasette([str(path)], metadata=tables)


def answer(server, sql, **given):
    """What a query that returns one JSON array finds."""

    async def ask():
        await server.invoke_startup()
        result = await server.get_database("blog").execute(sql, given)
        return json.loads(result.first()[0])

    return asyncio.run(ask())


def test_search(server):
    assert loaded()
    sql = "select faiss_search('blog', 'embeddings', :query, 5)"
    for query, exact in zip(XQ, nearest(XB, XQ, 5), strict=True):
        assert [int(i) for i in answer(server, sql, query=encode(query))] == exact.tolist()


def test_scores(server):
    sql = "select faiss_search_with_scores('blog', 'embeddings', :query, 4)"
    pairs = answer(server, sql, query=encode(XQ[0]))
    exact = nearest(XB, XQ, 4)[0]
    assert [int(i) for i, _ in pairs] == exact.tolist()
    np.testing.assert_allclose([score for _, score in pairs], distances(XB, XQ)[0, exact], rtol=1e-5)


def test_index_of_an_aggregate(server):
    # Built of the rows that the query selects.
    sql = "select faiss_agg(id, embedding, :query, 3) from embeddings where id < 50"
    assert answer(server, sql, query=encode(XQ[1])) == nearest(XB[:50], XQ, 3)[1].tolist()
