"""Things that belong together, directly or through others."""


class DisjointSets:
    """Sets of the numbers 0 to `size` - 1, each alone at first.

    The representative of a set is its smallest member. Source: union-find with path halving, Tarjan and van Leeuwen,
    "Worst-case analysis of set union algorithms", 1984.
    """

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find(self, member: int) -> int:
        """Smallest member of the set that a number is in."""
        while self._parents[member] != member:
            self._parents[member] = self._parents[self._parents[member]]
            member = self._parents[member]
        return member

    def unite(self, first: int, second: int) -> None:
        """Makes one set of the sets of two numbers."""
        smaller, larger = sorted((self.find(first), self.find(second)))
        self._parents[larger] = smaller
