"""Runs statements of kinetel audit --sql on an engine.

  run.py ENGINE FOLDER MEMORY < statements

FOLDER has files as Firehose leaves them in S3: lines of kinetel/1, in gzip members. The
engine reads them as the table kinetel, DuckDB also as kinetel_text. MEMORY limits the
engine, such as 2g. Standard input is a JSON list of statements. For each of them a line is
printed: an object with the seconds that it took, without the start of the engine, and its
rows.
"""

import json
import os
import sys
import tempfile
import time


def duckdb(folder, memory):
    import duckdb as engine

    db = engine.connect(config={"memory_limit": memory + "b", "temp_directory": tempfile.gettempdir()})
    db.execute(f"""CREATE VIEW kinetel AS SELECT * FROM read_json('{folder}/*.gz', format = 'newline_delimited', columns = {{
        seq: 'UBIGINT', time: 'VARCHAR', type: 'VARCHAR', body: 'JSON', resource: 'MAP(VARCHAR, VARCHAR)'}})""")
    # The table that Athena reads has the text of bodies.
    db.execute("CREATE VIEW kinetel_text AS SELECT * REPLACE (body ->> '$' AS body) FROM kinetel")

    def run(statement):
        cursor = db.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    return run


def athena(folder, memory):
    """No Athena: sqlglot reads the statement as Trino's, and DuckDB runs its translation."""
    import sqlglot

    run = duckdb(folder, memory)

    def translated(statement):
        (parsed,) = sqlglot.parse(statement, read="trino", error_level=sqlglot.ErrorLevel.RAISE)
        return run(parsed.sql("duckdb"))

    return translated


def spark(folder, memory):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[*]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", tempfile.gettempdir())
        .config("spark.sql.warehouse.dir", tempfile.gettempdir())
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    columns = "seq bigint, time string, type string, part int, parts int, body string, resource map<string,string>"
    session.read.schema(columns).json(folder).createOrReplaceTempView("kinetel")
    return lambda statement: [row.asDict() for row in session.sql(statement).collect()]


def clickhouse(folder, memory):
    import chdb.session

    session = chdb.session.Session()
    session.query(f"""CREATE VIEW kinetel AS SELECT * FROM file('{folder}/*.gz', JSONEachRow,
        'seq UInt64, time String, type String, body String, resource Map(String, String)')""")
    session.query(f"SET max_memory_usage = {int(memory.rstrip('g')) << 30}")
    return lambda statement: [json.loads(line) for line in str(session.query(statement, "JSONEachRow")).splitlines()]


def main():
    engine, folder, memory = sys.argv[1:]
    engines = {"athena": athena, "clickhouse": clickhouse, "duckdb": duckdb, "spark": spark}
    run = engines[engine](os.path.abspath(folder), memory)
    for statement in json.load(sys.stdin):
        begin = time.monotonic()
        rows = run(statement)
        print(json.dumps({"seconds": time.monotonic() - begin, "rows": rows}))


main()
