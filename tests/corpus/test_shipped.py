import pytest

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.shipped import read_jsonl, write_jsonl, write_sums
from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.records import SPLITS, Example, Link
from compliance_xai.study.folders import find_data_folder


@pytest.fixture
def folder(tmp_path):
    for split in SPLITS:
        rows = [
            Example(
                f"{split}-{i}",
                f"Wall {i} {split} shall",
                "if(x),then(y)",
                "fire",
                split,
                (Link("value", 0, 2, ((0, 4),)),),
            )
            for i in (1, 2)
        ]
        write_jsonl(rows, tmp_path / f"{split}.jsonl")
    write_sums(tmp_path)
    return tmp_path


def test_the_four_splits_are_read_in_order(folder):
    corpus = load_corpus("synthetic", path=folder)
    assert [example.id for example in corpus] == [f"{split}-{i}" for split in SPLITS for i in (1, 2)]
    assert len(corpus) == 8
    assert corpus.name == "synthetic"
    assert corpus.source_sha256 == sha256_file(folder / "SHA256SUMS")
    assert corpus.split("document")[1].clause == "Wall 2 document shall"


def test_one_split_can_be_asked_for(folder):
    corpus = load_corpus("synthetic", path=folder, split="test")
    assert [example.id for example in corpus] == ["test-1", "test-2"]
    with pytest.raises(InputError, match=r"corpus 'synthetic', split: expected one of test, found 'train'"):
        corpus.split("train")
    with pytest.raises(InputError, match=r"split: expected one of train, .*, found 'dev'"):
        load_corpus("synthetic", path=folder, split="dev")


def test_sums_are_those_that_sha256sum_writes(folder):
    line = (folder / "SHA256SUMS").read_text().splitlines()[0]
    assert line == f"{sha256_file(folder / 'train.jsonl')}  train.jsonl"


def test_a_changed_file_is_refused(folder):
    with (folder / "test.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(
        InputError, match=r"test\.jsonl: expected SHA-256 [0-9a-f]{64} \(SHA256SUMS\), found [0-9a-f]{64}"
    ):
        load_corpus("synthetic", path=folder)


def test_a_missing_file_or_sum_is_named(folder):
    (folder / "test.jsonl").unlink()
    with pytest.raises(InputError, match=r"test\.jsonl: expected SHA-256 .* found no such file"):
        load_corpus("synthetic", path=folder)
    (folder / "SHA256SUMS").write_text("")
    with pytest.raises(InputError, match=r"train\.jsonl: expected a file listed in SHA256SUMS, found \w{64}"):
        load_corpus("synthetic", path=folder)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match=r"SHA256SUMS: expected the file with the corpus's SHA-256 sums"):
        load_corpus("synthetic", path=folder)


def test_rows_of_another_split_and_repeated_ids_are_refused(folder):
    train = read_jsonl(folder / "train.jsonl")
    write_jsonl([*train, Example("x", "a", "b", "c", "test")], folder / "train.jsonl")
    write_sums(folder)
    with pytest.raises(InputError, match=r"train\.jsonl, line 3, key 'split': expected one of train, found 'test'"):
        load_corpus("synthetic", path=folder)
    write_jsonl([*train, train[0]], folder / "train.jsonl")
    write_sums(folder)
    with pytest.raises(
        InputError,
        match=r"expected ids that occur once, found 'train-1' in train\.jsonl, line 1 and train\.jsonl, line 3",
    ):
        load_corpus("synthetic", path=folder)


def test_the_variable_decides_where_the_data_are(folder, monkeypatch):
    (folder / "synthetic").mkdir()
    for entry in folder.glob("*.jsonl"):
        entry.rename(folder / "synthetic" / entry.name)
    (folder / "SHA256SUMS").rename(folder / "synthetic" / "SHA256SUMS")
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(folder))
    assert len(load_corpus("synthetic")) == 8
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(folder / "nowhere"))
    with pytest.raises(
        InputError, match=r"environment variable COMPLIANCE_XAI_DATA: expected a checkout's folder 'data'"
    ):
        load_corpus("synthetic")


def test_without_the_variable_the_checkout_is_found(monkeypatch):
    monkeypatch.delenv("COMPLIANCE_XAI_DATA", raising=False)
    assert (find_data_folder().parent / "src" / "compliance_xai" / "study" / "folders.py").is_file()


def test_unknown_sources_schemes_and_misplaced_options_are_refused(folder):
    from compliance_xai.corpus.table_source import TableOptions

    with pytest.raises(InputError, match=r"corpus source: expected one of synthetic, nzbc-lrml, table, found 'nzbc'"):
        load_corpus("nzbc")
    with pytest.raises(InputError, match=r"corpus scheme: expected one of random, document, found 'by-file'"):
        load_corpus("synthetic", scheme="by-file")
    with pytest.raises(InputError, match=r"corpus 'synthetic', scheme: expected one of random, found 'document'"):
        load_corpus("synthetic", path=folder, scheme="document")
    with pytest.raises(InputError, match=r"corpus source 'synthetic': expected no table options"):
        load_corpus("synthetic", path=folder, options=TableOptions())
    with pytest.raises(InputError, match=r"corpus 'table', path: expected a CSV, JSONL or Parquet file, found none"):
        load_corpus("table")
