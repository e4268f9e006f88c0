"""Runs a statement of kinetel audit --sql on an engine.

  run.py ENGINE FOLDER [MEMORY] < statement

FOLDER has files as Firehose leaves them in S3: lines of kinetel/1, in gzip members. The
engine reads them as the table kinetel, DuckDB also as kinetel_text. Prints each row as a line of JSON, and the seconds
that the statement took on standard error. MEMORY limits the engine, such as 8g.
"""

import json
import os
import sys
import tempfile
import time


def duckdb(statement, folder, memory):
    import duckdb as engine

    db = engine.connect(config={"memory_limit": memory + "b", "temp_directory": tempfile.gettempdir()})
    db.execute(f"""CREATE VIEW kinetel AS SELECT * FROM read_json('{folder}/*.gz', format = 'newline_delimited', columns = {{
        seq: 'UBIGINT', time: 'VARCHAR', type: 'VARCHAR', body: 'JSON', resource: 'MAP(VARCHAR, VARCHAR)'}})""")
    # The table that Athena reads has the text of bodies.
    db.execute("CREATE VIEW kinetel_text AS SELECT * REPLACE (body ->> '$' AS body) FROM kinetel")
    cursor = db.execute(statement)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row)) for row in cursor.fetchall())


def athena(statement, folder, memory):
    """No Athena: sqlglot reads the statement as Trino's, and DuckDB runs its translation."""
    import sqlglot

    (parsed,) = sqlglot.parse(statement, read="trino", error_level=sqlglot.ErrorLevel.RAISE)
    return duckdb(parsed.sql("duckdb"), folder, memory)


def spark(statement, folder, memory):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[*]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", tempfile.gettempdir())
        .config("spark.sql.warehouse.dir", tempfile.gettempdir())
        .config("spark.sql.shuffle.partitions", os.environ.get("PARTITIONS", "4"))
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    columns = "seq bigint, time string, type string, severity string, requestId string, traceId string, part int, parts int, body string, extra string, resource map<string,string>"
    session.read.schema(columns).json(folder).createOrReplaceTempView("kinetel")
    rows = [row.asDict() for row in session.sql(statement.rstrip().rstrip(";")).collect()]
    session.stop()
    return rows


def clickhouse(statement, folder, memory):
    import chdb.session

    session = chdb.session.Session()
    session.query(f"""CREATE VIEW kinetel AS SELECT * FROM file('{folder}/*.gz', JSONEachRow,
        'seq UInt64, time String, type String, body String, resource Map(String, String)')""")
    out = session.query(statement, "JSONEachRow")
    session.query("SELECT 1")
    return [json.loads(line) for line in str(out).splitlines()]


def main():
    engine, folder = sys.argv[1:3]
    memory = sys.argv[3] if len(sys.argv) > 3 else "2g"
    begin = time.monotonic()
    rows = {"athena": athena, "clickhouse": clickhouse, "duckdb": duckdb, "spark": spark}[engine](sys.stdin.read(), os.path.abspath(folder), memory)
    print(f"{time.monotonic() - begin:.1f} s", file=sys.stderr)
    for row in rows:
        print(json.dumps(row))


main()
