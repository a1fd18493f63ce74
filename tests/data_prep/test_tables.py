"""The devkit's tables without what no record is made of."""

from data_prep.tables import Tables
from tests import tiny_root


def test_tables_are_indexed_and_lidarseg_is_not_needed(copy):
    tiny_root.write_table(copy, "lidarseg", [{"token": "a", "sample_data_token": "lost", "filename": "nowhere.bin"}])
    (copy / "maps" / "dummy.png").unlink()
    tables = Tables(copy, tiny_root.VERSION)
    sample = tables.get("sample", "smp_0010")
    assert len(sample["anns"]) == len(
        {tables.get("sample_annotation", token)["instance_token"] for token in sample["anns"]}
    )
    assert tables.get("sample_data", sample["data"]["CAM_BACK"])["channel"] == "CAM_BACK"
