import errno
import gzip
import os
from pathlib import Path

import polars as pl
import pytest

from ltr.datasets.tables import place, read_table
from ltr.errors import DataError

TABLE = pl.DataFrame({"sku": ["007", "8"], "title": ["red, shoe", 'a 5" pipe']})
WRITTEN = {
    "csv": b'sku,title\n007,"red, shoe"\n8,"a 5"" pipe"\n',
    "tsv": b'sku\ttitle\n007\tred, shoe\n8\t"a 5"" pipe"\n',
    "jsonl": b'{"sku": "007", "title": "red, shoe"}\n{"sku": "8", "title": "a 5\\" pipe"}\n',
    "ndjson": b'{"sku": "007", "title": "red, shoe"}\r\n\r\n{"sku": "8", "title": "a 5\\" pipe"}',
}


@pytest.mark.parametrize("extension", WRITTEN)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_plain_or_gzipped_yields_the_same_table(tmp_path, extension, packed):
    path = tmp_path / f"shop.{extension}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(WRITTEN[extension]) if packed else WRITTEN[extension])
    assert read_table(path).equals(TABLE)


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_is_read_plain_or_gzipped(tmp_path, packed):
    plain = tmp_path / "shop[1].parquet"  # brackets are no pattern
    TABLE.write_parquet(plain)
    path = tmp_path / "shop.parquet.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_table(path if packed else plain).equals(TABLE)


def test_cells_of_csv_are_text_and_empty_ones_are_null(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_bytes(b'\xef\xbb\xbfsku, price \r\n007,1.50\r\n"",\r\n\r\nNA,5" pipe\r\n')
    assert read_table(path).to_dict(as_series=False) == {"sku": ["007", None, "NA"], "price": ["1.50", None, '5" pipe']}


def test_a_lone_cell_stands_for_a_row_only_where_it_is_allowed(tmp_path):
    path = tmp_path / "quepid.csv"
    path.write_text("query,docid,rating\nred shoe,p1,2\nblue shoe\n")
    assert read_table(path, lone=True).row(1) == ("blue shoe", None, None)
    with pytest.raises(DataError, match="line 3 has 1 cells where the header has 3"):
        read_table(path)


BAD = {
    "a file that is not there": ("shop.csv", None, "does not exist"),
    "no bytes in csv": ("shop.csv", b"", r"is empty \(0 bytes\)"),
    "no bytes in parquet": ("shop.parquet", b"", r"is empty \(0 bytes\)"),
    "no bytes in gzip": ("shop.csv.gz", gzip.compress(b""), r"is empty \(0 bytes\)"),
    "only blank lines in csv": ("shop.csv", b"\n\n", "has no header"),
    "only blank lines in jsonl": ("shop.jsonl", b"\n\n", "has no line"),
    "latin-1 in csv": ("shop.csv", b"a,b\n1,2\n3,caf\xe9\n", "not UTF-8: line 3 holds byte 0xE9; save it as UTF-8"),
    "latin-1 in jsonl": ("shop.jsonl", b'{"a": "caf\xe9"}\n', "not UTF-8: line 1 holds byte 0xE9"),
    "utf-16": ("shop.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16, not UTF-8; save it as UTF-8"),
    "utf-16 in tsv": ("shop.tsv", b"\xfe\xff" + "a\tb\n".encode("utf-16-be"), "is UTF-16, not UTF-8"),
    "utf-16 in jsonl": ("shop.jsonl", '{"a": 1}'.encode("utf-16"), "is UTF-16, not UTF-8"),
    "utf-16 without a mark": ("shop.csv", "a,b\n1,2\n".encode("utf-16-le"), "NUL characters, as UTF-16 does"),
    "a long row": ("shop.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells where the header has 2"),
    "a short row": ("shop.tsv", b"a\tb\tc\n1\t2\n", "line 2 has 2 cells where the header has 3"),
    "a long row after a cell of two lines": ("shop.csv", b'a,b\n"1\n2",3\n4\n', "line 4 has 1 cells"),
    "text after a closing quote": ("shop.csv", b'a,b\n1,2\n1,"x"y\n', "line 3: .*write a quote inside one twice"),
    "a quote that is never closed": ("shop.csv", b'a,b\n1,"x\n2,3\n', "line 2: unexpected end of data"),
    "two columns of one name": ("shop.csv", b"a,b,a\n1,2,3\n", "more than one column named 'a'"),
    "json that breaks off": ("shop.jsonl", b'{"a": 1}\n{"a":\n', "not JSON Lines: line 2: "),
    "json of an array": ("shop.jsonl", b'[{"a": 1}]\n', "line 1 holds .* not an object"),
    "json with NaN": ("shop.jsonl", b'{"a": 1}\n\n{"a": NaN}\n', "line 3: NaN is no JSON value; write null"),
    "gzip in name only": ("shop.csv.gz", b"a,b\n1,2\n", "is not gzip"),
    "gzip that breaks off": ("shop.csv.gz", gzip.compress(b"a,b\n1,2\n" * 999)[:-20], "cut short or damaged"),
    "no parquet at all": ("shop.parquet", b"PAR1 or so it says", "not a whole Parquet file"),
    "an unknown extension": ("shop.xlsx", b"a,b\n", r"no known extension; extensions: \.csv, "),
    "a directory": (".", None, "cannot be read: it is a directory; name the file in it"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_error_that_names_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_table(path)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("kept", [4, 100, 0.5, -1, -8])
def test_a_truncated_parquet_is_refused_wherever_it_breaks_off(tmp_path, kept):
    path = tmp_path / "shop.parquet"
    TABLE.write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)] if isinstance(kept, float) else whole[:kept])
    with pytest.raises(DataError, match=r"not a whole Parquet file .*copy or export it again"):
        read_table(path)


def test_a_parquet_with_a_damaged_page_is_refused(tmp_path):
    path = tmp_path / "shop.parquet"
    pl.DataFrame({"a": [str(number) for number in range(5_000)]}).write_parquet(path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[100:2_000] = b"\0" * 1_900
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_table(path)


SEPARATED = {
    "semicolons": ("shop.csv", 'sku;title;price\n007;"red; shoe";59,90\n'),
    "tabs": ("shop.csv", 'sku\ttitle\tprice\n007\t"red; shoe"\t59,90\n'),
    "semicolons and quoted commas": ("shop.csv", '"sku";"title";"price"\r\n007;red; shoe;59,90\r\n'.replace("red; shoe", '"red; shoe"')),
    "semicolons in tsv": ("shop.tsv", 'sku;title;price\n007;"red; shoe";59,90\n'),
    "commas in tsv": ("shop.tsv", 'sku,title,price\n007,red; shoe,"59,90"\n'),
    "commas, with all else quoted": ("shop.csv", 'sku,title,price\n007,red; shoe,"59,90"\n'),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), SEPARATED.values(), ids=SEPARATED)
def test_what_separates_the_header_separates_the_cells(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert read_table(path).to_dicts() == [{"sku": "007", "title": "red; shoe", "price": "59,90"}]
    assert place(path, 0) == "line 2"


def test_separators_in_quotes_and_those_beside_a_comma_separate_nothing(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text('"sku; or ""id"", if any";"title, long\nor short"\n7;red\n')
    assert read_table(path).columns == ['sku; or "id", if any', "title, long\nor short"]
    path.write_text('sku,"a;b;c;d",size; in 5" steps\n7,red,2\n')
    assert read_table(path).columns == ["sku", "a;b;c;d", 'size; in 5" steps']
    path.write_text("sku\n7\n")
    assert read_table(path).columns == ["sku"]


def test_a_row_of_another_length_is_told_by_the_separator_of_the_file(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text("sku;title\n7;red;shoe\n")
    with pytest.raises(DataError, match=r"line 2 has 3 cells where the header has 2; put quotes around a cell .* ';'"):
        read_table(path)


def test_a_byte_order_mark_is_no_part_of_json_lines(tmp_path):
    path = tmp_path / "shop.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"sku": "007"}\n')
    assert read_table(path).to_dicts() == [{"sku": "007"}]


@pytest.mark.parametrize("extension", ["csv", "csv.gz", "tsv", "jsonl", "parquet", "parquet.gz"])
def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch, extension):
    def forbidden(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    # Whoever runs the tests may be root, whom no permission stops.
    path = tmp_path / f"shop.{extension}"
    for method in ("read_bytes", "open"):
        monkeypatch.setattr(Path, method, forbidden)
    with pytest.raises(DataError, match=rf"^{path} cannot be read: Permission denied; give a file that may be read$"):
        read_table(path)


def test_a_directory_under_a_table_name_is_refused(tmp_path):
    for extension in ("csv", "parquet"):
        (tmp_path / f"shop.{extension}").mkdir()
        with pytest.raises(DataError, match="cannot be read"):
            read_table(tmp_path / f"shop.{extension}")


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("t.csv", b'a,b\n\n"x\ny",1\nz,2\n', ["line 3", "line 5"]),
        ("t.jsonl", b'\n{"a": 1}\n\n{"a": 2}\n', ["line 2", "line 4"]),
        ("t.parquet", b"", ["row 1", "row 2"]),
    ],
)
def test_a_row_is_named_by_the_line_it_starts_on(tmp_path, name, content, wanted):
    path = tmp_path / name
    path.write_bytes(content)
    assert [place(path, 0), place(path, 1)] == wanted
    noun, first, second = f"{wanted[0]} {wanted[1]}".replace(" line", "").replace(" row", "").split()
    assert place(path, 1, 0, 1) == f"{noun}s {second}, {first} and {second}"
