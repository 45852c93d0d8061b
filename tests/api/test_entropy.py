"""Random bytes, drawn for many at once."""

from service.api.entropy import DRAWN_AT_ONCE, Entropy


def test_nothing_is_given_twice() -> None:
    entropy = Entropy()
    taken = [entropy.take(size) for size in [32, 16, 32] * 1000]
    assert [len(one) for one in taken] == [32, 16, 32] * 1000
    assert len(set(taken)) == 3000


def test_two_have_nothing_in_common() -> None:
    assert Entropy().take(DRAWN_AT_ONCE) != Entropy().take(DRAWN_AT_ONCE)


def test_all_values_come() -> None:
    """Of 100,000 bytes each value is some 391; less than 200 or more than 600 come once in 10^20 times."""
    entropy = Entropy()
    drawn = b"".join(entropy.take(32) for _ in range(3125))
    assert all(200 < drawn.count(value) < 600 for value in range(256))
