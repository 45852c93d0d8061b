"""Ids of links and organizations, and the partition that each has."""

import re

import pytest

from service.values.ids import LINK_ID_PATTERN, is_link_id, make_link_id, partition_of


class TestIds:
    def test_an_id_is_pl_partition_and_22_base62_characters(self) -> None:
        link_id = make_link_id("acme", bytes(range(24)))
        assert re.fullmatch(r"pl_[0-9a-f]{2}[0-9A-Za-z]{22}", link_id)
        assert is_link_id(link_id)

    def test_an_id_names_the_partition_of_its_organization(self) -> None:
        assert make_link_id("acme", bytes(24))[3:5] == partition_of("acme")

    def test_the_same_entropy_gives_the_same_id(self) -> None:
        assert make_link_id("acme", b"e" * 24) == make_link_id("acme", b"e" * 24)

    @pytest.mark.parametrize(
        "entropy",
        [bytes(24), b"\xff" * 24, b"\xff" * 64],
        ids=["zeros", "ones", "more than needed"],
    )
    def test_any_entropy_gives_a_whole_id(self, entropy: bytes) -> None:
        assert is_link_id(make_link_id("acme", entropy))

    def test_entropy_that_differs_in_one_bit_gives_another_id(self) -> None:
        ids = {make_link_id("acme", (1 << bit).to_bytes(24)) for bit in range(130)}
        assert len(ids) == 130

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "pl_",
            "pl_3f" + "a" * 21,
            "pl_3f" + "a" * 23,
            "pl_3F" + "a" * 22,
            "pl_zz" + "a" * 22,
            "xx_3f" + "a" * 22,
            "pl_3f" + "a" * 21 + "-",
            "pl_3f" + "a" * 22 + "\n",
            " pl_3f" + "a" * 22,
            "pl_3f" + "é" * 22,
        ],
        ids=[
            "empty",
            "prefix",
            "short",
            "long",
            "capital hex",
            "no hex",
            "prefix wrong",
            "dash",
            "newline",
            "space",
            "accents",
        ],
    )
    def test_another_text_is_no_id(self, text: str) -> None:
        assert not is_link_id(text)

    def test_the_pattern_holds_nothing_but_the_id(self) -> None:
        assert LINK_ID_PATTERN == r"pl_[0-9a-f]{2}[0-9A-Za-z]{22}"


class TestPartitions:
    @pytest.mark.parametrize(
        ("name", "partition"),
        [("acme", "d4"), ("globex", "90"), ("Shop.1_2:3-4", "0a"), ("jane@example.com", "a8")],
        ids=["acme", "globex", "marks", "e-mail"],
    )
    def test_a_partition_never_changes(self, name: str, partition: str) -> None:
        """Keys in a live Redis follow from it: a new value here loses every link there is."""
        assert partition_of(name) == partition

    def test_organizations_spread_over_all_partitions(self) -> None:
        assert len({partition_of(f"org-{number}") for number in range(10_000)}) == 256
