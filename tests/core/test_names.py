from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.names import (
    IFNAME_BYTES,
    TEXT_PATTERN,
    derived,
    ifname_problem,
    is_id,
    mac_problem,
    new_id,
)


class IdTests(SynchronousTestCase):
    def test_a_new_id_is_one_that_is_taken_here(self) -> None:
        self.assertTrue(is_id(new_id()))
        self.assertNotEqual(new_id(), new_id())

    def test_only_the_lower_case_form_is_an_id(self) -> None:
        ident = "0f3e7a1c-9a2b-4c3d-8e4f-5a6b7c8d9e0f"
        self.assertTrue(is_id(ident))
        for wrong in (ident.upper(), ident.replace("-", ""), f"{{{ident}}}", ident + "\n", ident[:-1], "", "x" * 36):
            with self.subTest(wrong):
                self.assertFalse(is_id(wrong))


class TextTests(SynchronousTestCase):
    def test_what_a_name_may_not_have(self) -> None:
        for wrong in ("\0", "\n", "\x1f", "\x7f", "\x85", "\ud800", "\udfff", "\ufdd0", "\ufffe", "\U0010ffff"):
            with self.subTest(repr(wrong)):
                self.assertIsNone(re.fullmatch(TEXT_PATTERN, f"a{wrong}b"))

    def test_what_a_name_may_have(self) -> None:
        for right in ("blue", "Grün & Söhne", "\U0001f98a", "a b", "\u00a0", "\ue000", "\ufffd", "a/b"):
            with self.subTest(right):
                self.assertIsNotNone(re.fullmatch(TEXT_PATTERN, right))


class IfnameTests(SynchronousTestCase):
    def test_what_the_kernel_takes(self) -> None:
        for right in ("a", "eth0", "tap-1.100", "x" * 15, "ü" * 7, "vm1_eth0", "...", "a@b", "-", "~"):
            with self.subTest(right):
                self.assertIsNone(ifname_problem(right))

    def test_what_the_kernel_does_not_take(self) -> None:
        for wrong in ("", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\n", "x" * 16, "ü" * 8, "\0", "tap%d", "\x7f"):
            with self.subTest(repr(wrong)):
                self.assertIsNotNone(ifname_problem(wrong))

    def test_names_that_mean_every_device(self) -> None:
        """The kernel has sysctls of these names for all devices and for those to come, and refuses devices of them."""
        for wrong in ("all", "default"):
            with self.subTest(wrong):
                self.assertIsNotNone(ifname_problem(wrong))

    def test_a_byte_that_the_kernel_takes_for_a_space(self) -> None:
        """isspace() of the kernel knows Latin-1, and looks at the bytes of a name in UTF-8."""
        self.assertIsNotNone(ifname_problem("à"))

    def test_surrogates_are_refused_without_an_exception(self) -> None:
        self.assertIsNotNone(ifname_problem("\ud800"))


class MacTests(SynchronousTestCase):
    def test_addresses_of_a_guest(self) -> None:
        for right in ("02:00:00:00:00:01", "AA:bb:Cc:00:00:00", "00:00:00:00:00:10"):
            with self.subTest(right):
                self.assertIsNone(mac_problem(right))

    def test_no_addresses_of_a_guest(self) -> None:
        cases = {
            "multicast": ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"),
            "zero": ("00:00:00:00:00:00",),
            "six hexadecimal pairs": ("02-00-00-00-00-01", "0200.0000.0001", "02:00:00:00:00", "", "02:00:00:00:00:0g"),
        }
        for why, wrongs in cases.items():
            for wrong in wrongs:
                with self.subTest(wrong):
                    self.assertIn(why, mac_problem(wrong) or "")

    def test_a_trailing_newline_is_no_part_of_it(self) -> None:
        self.assertIsNotNone(mac_problem("02:00:00:00:00:01\n"))


class DerivedTests(SynchronousTestCase):
    def test_it_begins_with_the_digits_of_the_id(self) -> None:
        self.assertEqual(derived("q-", "0f3e7a1c-9a2b-4c3d-8e4f-5a6b7c8d9e0f", lambda _: False), "q-0f3e7a1c9a2b4")

    @given(st.sampled_from(["q-", "tap", "vx", ""]), st.uuids(), st.integers(0, 20))
    def test_it_is_a_device_name_and_not_taken(self, prefix: str, ident: object, collisions: int) -> None:
        taken: list[str] = []

        def occupied(name: str) -> bool:
            if len(taken) < collisions:
                taken.append(name)
            return name in taken

        name = derived(prefix, str(ident), occupied)
        self.assertEqual(len(name.encode()), IFNAME_BYTES)
        self.assertIsNone(ifname_problem(name))
        self.assertNotIn(name, taken)
        self.assertEqual(len(set(taken)), collisions)

    def test_it_follows_from_the_id_alone(self) -> None:
        ident = new_id()
        first = derived("tap", ident, lambda _: False)
        again = derived("tap", ident, lambda name: name == first)
        self.assertEqual(first, derived("tap", ident, lambda _: False))
        self.assertEqual(again, derived("tap", ident, lambda name: name == first))
