"""Random bytes, drawn for many at once."""

from service.values.entropy import DRAWN_AT_ONCE, Entropy


def test_nothing_is_given_twice() -> None:
    """No eight bytes of 80,000: by chance they meet once in some 10^9 times."""
    entropy = Entropy()
    taken = [entropy.take(size) for size in [32, 16, 32] * 1000]
    assert [len(one) for one in taken] == [32, 16, 32] * 1000
    given = b"".join(taken)
    assert len({given[start : start + 8] for start in range(len(given) - 7)}) == len(given) - 7


def test_two_have_nothing_in_common() -> None:
    assert Entropy().take(DRAWN_AT_ONCE) != Entropy().take(DRAWN_AT_ONCE)


def test_more_is_given_than_is_drawn_at_once() -> None:
    assert len(Entropy().take(2 * DRAWN_AT_ONCE)) == 2 * DRAWN_AT_ONCE
