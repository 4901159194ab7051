"""Settings that make no sense: each is reported in one line that names the table and the key."""

from __future__ import annotations

import pytest

from trueup.config import parse
from trueup.errors import ConfigError

LINE = '[reconcile.line]\nmatch = ["aggregate"]\n'
SOURCE = '[[source]]\nname = "msc"\nstream = "usage"\npath = "x.csv"\nidentity = "content"\n'
VELOCITY = '[[fraud.rule]]\nname = "r"\nkind = "velocity"\nfeature = "sub_premium_1h"\n'
RANGE = '[[fraud.rule]]\nname = "r"\nkind = "range"\nprefixes = ["+882"]\n'
RULE = '[[fraud.rule]]\nname = "r"\nkind = "travel"\nwithin = "1h"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lak]\na = 1", "lak: this setting is unknown"),
        ("[lake]\n[lake]", "Cannot declare"),
        ("[lake]\nbuckets = 0", "lake.buckets: must be greater"),
        ("[lake]\nbuckets = true", "lake.buckets: must be a whole number"),
        ('[lake]\nbuckets = "64"', "lake.buckets: must be a whole number"),
        ('[lake]\ndata = ""', "lake.data: must not be empty"),
        ('[project]\nhorizon = "-1d"', "project.horizon: invalid duration '-1d'"),
        ('[project]\nhorizon = "0d"', "project.horizon: must be longer than 0"),
        ('[project]\nmax_age = "0s"', "project.max_age: must be longer than 0"),
        ('[project]\nhorizon = "999999999999d"', "project.horizon: '999999999999d' is longer than a thousand years"),
        ('[project]\ntimezone = "Europe"', "project.timezone: unknown time zone 'Europe'"),
        ('[project]\ntimezone = "posix/Europe/Berlin"', "project.timezone: unknown time zone 'posix/Europe/Berlin'"),
        ('[project]\nfurther_currencies = ["a b"]', "further_currencies.0: 'a b' must be a code without blanks"),
        (SOURCE + 'delim = ";"', "[[source]] msc, delim: this setting is unknown"),
        (SOURCE.replace('"x.csv"', "[]"), "[[source]] msc, path: must not be empty"),
        (SOURCE.replace('"x.csv"', '""'), "[[source]] msc, path.0: must not be empty"),
        (SOURCE.replace('name = "msc"\n', ""), "[[source]] 1, name: this setting is missing"),
        (SOURCE + 'delimiter = "\\n"', "[[source]] msc, delimiter: '\\n' must be one ASCII character"),
        (SOURCE + "delimiter = '\"'", "[[source]] msc: `delimiter` and `quote` are both"),
        (SOURCE + 'header = "no"', "[[source]] msc, header: must be true or false"),
        (SOURCE + 'marker = "/x"', "[[source]] msc, marker: '/x' must be the ending"),
        (SOURCE + 'idle_after = "0s"', "[[source]] msc, idle_after: must be longer than 0"),
        (SOURCE + 'feed.every = "0s"', "[[source]] msc, feed.every: must be longer than 0"),
        (SOURCE + 'range = { quantity = ["5", "1"] }', "[[source]] msc: the range of quantity ends before it begins"),
        (SOURCE + 'constants = { service = "" }', "[[source]] msc, constants.service: must not be empty"),
        (SOURCE + 'columns = { service = "" }', "[[source]] msc, columns.service.column: must not be empty"),
        (SOURCE + 'columns = { peer = { column = "p", national_digits = [10] } }', "need `e164`, the calling code"),
        (SOURCE + 'columns = { peer = { column = "p", e164 = "1", prefixes = { "+" = "" } } }', "must be one to eight digits"),
        (SOURCE + 'columns = { peer = { column = "p", e164 = "+49" } }', "e164: '+49' must be a country code in digits"),
        (SOURCE + 'columns = { quantity = { column = "q", scale = 0 } }', "columns.quantity.scale: must be greater"),
        ('[reconcile.v]\namount_tolerance = "-1"', "reconcile.v.amount_tolerance: must not be negative"),
        ('[reconcile.v]\nquantity_tolerance = "-1"', "reconcile.v.quantity_tolerance: must not be negative"),
        ("[reconcile.v]\nprice = 0.2", "reconcile.v.price: 0.2 must be a whole number or a decimal number in quotes"),
        ('[reconcile.v]\nprice = "1"\nprice_per = true', "reconcile.v.price_per: must be a whole number"),
        ('[reconcile.v]\nmatch = ["nearest", "nearest"]', "`match` names one way to match twice"),
        ('[reconcile.v]\nmatch = "nearest"', "reconcile.v.match: must be a list"),
        ('[reconcile.v]\nperiod = "0d"', "reconcile.v.period: must be longer than 0"),
        ("[reconcile]\nprice = '1'", "reconcile.price: must be a table"),
        ('[reconcile.v]\nperiod = "year"', "or write 'day', 'week', 'month' or 'cycle'"),
        (
            '[[chain]]\nname = "v"\nstages = ["a", "b"]\ncompare = "aggregate"\nperiod = "cycle"',
            "or write 'day', 'week' or 'month'",
        ),
        (
            '[lake]\nbucket_by = "account"\n[reconcile.v]\nmatch = ["aggregate"]\nperiod = "cycle"',
            "[reconcile.v] sums billing cycles",
        ),
        ('[reconcile.v]\ncovers = ["a"]', '`covers` needs match = ["aggregate"]'),
        (LINE + 'covers = ["a", "a"]', "`covers` names one service twice"),
        (LINE + 'covers = ["line"]', "[reconcile.line] covers itself, whose usage is in its sums anyway"),
        (LINE + 'covers = ["default"]', "[reconcile.line] covers all services without a table"),
        (LINE.replace("line", "default") + 'covers = ["a"]', "[reconcile.default] cannot cover other services"),
        (
            LINE + 'covers = ["a"]\n' + LINE.replace("line", "b") + 'covers = ["a"]',
            "[reconcile.line] and [reconcile.b] both cover 'a'",
        ),
        (
            LINE + 'covers = ["b"]\n' + LINE.replace("line", "b") + 'covers = ["a"]',
            "covers 'b', which covers other services itself",
        ),
        (
            LINE + 'covers = ["a"]\n[reconcile.a]\nmatch = ["nearest"]',
            "[reconcile.a] matches by nearest, but [reconcile.line] covers it",
        ),
        (LINE + 'covers = ["a"]\n[reconcile.a]\ncurrency = "USD"', "is in EUR, but covers 'a', which is priced in USD"),
        (LINE + 'covers = ["a"]\n[[chain]]\nname = "c"\nstages = ["x", "y"]', "chain c has services that [reconcile.line] sums up"),
        ('[reconcile.""]\nprice = "1"', "must not be empty"),
        (RULE + 'area = "("', "[[fraud.rule]] r, area: invalid pattern '('"),
        (RULE.replace("travel", "hot_list") + 'numbers = [""]', "[[fraud.rule]] r, numbers.0: must not be empty"),
        (
            VELOCITY + "when = ['to_premium = 1']",
            "[[fraud.rule]] r: a rule of kind velocity has no `when`; kinds that have it: all",
        ),
        (VELOCITY + 'within = "1h"', "a rule of kind velocity has no `within`; kinds that have it: travel"),
        (RANGE + 'party = "peer"', "a rule of kind range has no `party`; kinds that have it: velocity, overlap, travel, all"),
        (RANGE + "above = 0", "a rule of kind range has no `above`; kinds that have it: velocity, overlap, travel"),
        (RANGE + 'numbers = ["+1"]', "a rule of kind range has no `numbers`; kinds that have it: hot_list"),
        (RULE + 'feature = "sub_premium_1h"', "a rule of kind travel has no `feature`; kinds that have it: velocity"),
        ('[fraud]\ncalls = [""]', "fraud.calls.0: must not be empty"),
        ('[sql]\nthreads = "4"', "sql.threads: must be a whole number"),
        ("[sql]\nthreads = true", "sql.threads: must be a whole number"),
        ("[limits]\ncolumns = 5.0", "limits.columns: must be a whole number"),
        ("[limits]\nrecord_bytes = true", "limits.record_bytes: invalid size True"),
        (SOURCE + 'limits = { columns = "5" }', "[[source]] msc, limits.columns: must be a whole number"),
        (SOURCE + 'follow_links = "yes"', "[[source]] msc, follow_links: must be true or false"),
        (SOURCE + 'key_scope = ""', "[[source]] msc, key_scope: must not be empty"),
        (SOURCE.replace('"x.csv"', '["x.csv", "x.csv"]'), "[[source]] msc: `path` names 'x.csv' twice"),
        ('[anchor]\nkey = "k"\nrun = "yes"', "anchor.run: must be true or false"),
        ('[quality]\nfile = ""', "quality.file: must not be empty"),
        ('[quality]\nlookback = "0s"', "quality.lookback: must be longer than 0"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_byte_order_mark_is_not_read_as_a_setting() -> None:
    assert parse('\ufeff[project]\ncurrency = "CHF"').project.currency == "CHF"
