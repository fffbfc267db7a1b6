"""Which column holds the handles, which rows are on Instagram, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import World
from standin import cache_entry

USERS = ["nira.voss", "osk.arwen", "tam.orrel", "velmo"]
ALL = " ".join(USERS)


def rows_of(template: str) -> str:
    """The rows; one for each of the users, if `{}` stands for the name. `~` is a line end."""
    if "{}" in template:
        template = "~".join(template.replace("{}", user) for user in USERS)
    return template.replace("~", "\n") + "\n"


# Header, rows, the column that is taken, and whom each row is about: "-" for nobody.
TAKEN = [
    # A word for a handle
    ("rank,name,handle,followers,er,topics", '1,Nira,{},"12,345",1.2%,books', "handle", ALL),
    (",username", "0,{}", "username", ALL),  # as pandas writes it
    ("@handle,Name", "@{},Nira", "@handle", ALL),
    ("Name,accountName", "Nira,{}", "accountName", ALL),
    ("Name,Profile URL", "Nira,{}", "Profile URL", ALL),
    ("Name,Creator's user_id", "Nira,{}", "Creator's user_id", ALL),
    ("Nombre;Usuario;Bio", "Nira;{};Roma, Milán, y más, ya", "Usuario", ALL),
    ("Nome;Nome de usuário", "Nira;{}", "Nome de usuário", ALL),
    ("Nom,Nom d’utilisateur,Abonnés", "Nira,{},10", "Nom d’utilisateur", ALL),
    ("Name;Benutzername", "Nira;{}", "Benutzername", ALL),
    ("Nome,Nome utente", "Nira,{}", "Nome utente", ALL),
    # Instagram's name in the header is stronger than a handle's, and no network beside it counts
    ("Rank,Name ,GENRE,Details,Instagram Handle", "1,Nira,,,@{}", "Instagram Handle", ALL),
    ("Name,Instagram", "N,#N/A~" * 14 + "O,@osk~T,tam", "Instagram", "- " * 14 + "osk tam"),
    ("TikTok Username,Username,IGHandle", "{}_tt,{}_login,{}", "IGHandle", ALL),
    ("Handle,Instagram / TikTok", "{}_x,@{}", "Instagram / TikTok", ALL),
    ("Instagram,Platform", "@{},TikTok", "Instagram", ALL),
    # ... but not where it holds no handles, or is about something else
    ("Handle,IG", "@{},yes", "Handle", ALL),
    ("Instagram tier,Account category,IG", "micro,food,@{}", "IG", ALL),
    # Most cells are addresses, whatever the header is called; a bare word is no handle there
    ("Name,Where", "N,instagr.am/b~O,instagr.am/c~T,@d~V,e~W,instagr.am/f", "Where", "b c d - f"),
    ("Username,TikTok,Link", "{}_x,@{}_tt,instagr.am/{}", "Link", ALL),
    # Names with an `@name` in two thirds of them
    ("Rank,Name,Country,GENRE,Details", '1,"Alba Ríos\n@{}",Spain,,', "Name", ALL),
    ("Nombre,Ciudad", "Alba (@velmo),Bari~Luz @tam,Roma~Sol,Asti", "Nombre", "velmo tam -"),
    # A platform column: only what it says to be on Instagram
    ("Usuario,Red social", "a,IG~@b,Tik Tok~c,ig~@d,Blog~@e,~@f,no IG", "Usuario", "a - c - - -"),
    ("Handle,Main platform", "velmo,IG & TikTok~osk,X~tam,Insta", "Handle", "velmo - tam"),
    ("Handle,Plattform", "instagram.com/velmo,YouTube~osk,YouTube~tam,IG", "Handle", "velmo - tam"),
    ("Channel,App,Handle", "Instagram,TikTok,@a~IG,Insta,@b~,IG,@c", "Handle", "- b -"),
    ("Handle,Network", "@{},Food", "Handle", ALL),  # names no network
    ("Handle,Where", "velmo,Instagram~osk,TikTok~tam,IG~@rua,", "Handle", "velmo - tam -"),
    ("IG or TikTok,App", "a,IG~b,TikTok~@c,TikTok~instagr.am/d,TikTok", "IG or TikTok", "a - - d"),
    # What looks like another network, and isn't
    ("Instagram, not TikTok,,\nName,Who,City,Handle", "N,a,b,@{}", "Handle", ALL),
    ("Handle,Seen on", "a,TikTok~b,b.example", "Handle", "a b"),  # as often as not
    ("Handle,Contacted,Campaign", "{},x,Nike x Zara", "Handle", ALL),
    ("username,followers_x,followers_y", "{},1,2", "username", ALL),  # as pandas joins tables
    ("Username,Snap size,Kick-off,Max price", "{},2,3,10", "Username", ALL),
    ("Handle,Likes", "@x.a,5~tiktok.b,6", "Handle", "x.a tiktok.b"),
]


@pytest.mark.parametrize(("header", "rows", "column", "fetched"), TAKEN)
def test_the_one_column_that_says_it_is_taken(
    world: World, header: str, rows: str, column: str, fetched: str
) -> None:
    world.input.write_text(f"{header}\n{rows_of(rows)}")
    world.remember(*(cache_entry(name) for name in fetched.split() if name != "-"))
    result = world.run("--report", str(world.report_file))
    assert result.code == 0
    assert f"Columns: handles from '{column}' (@" in result.log
    assert " ".join(row["username"] or "-" for row in world.report) == fetched.strip()
    assert world.standin.log == []


# Header, rows, and words of the refusal, separated by " | ".
REFUSED = [
    # Another network is named, and Instagram isn't
    ("username,retweet", "{},5", "('retweet') | 'username' (nira.voss, osk.arwen, tam.orrel)"),
    ("service,account", "twitter,{}", "('twitter') | 'account' (nira.voss,"),
    ("Name,Username,URL", "N,{},https://www.youtube.com/@{}", "youtube.com/@nira.voss') | (nira"),
    ("TikTok creators,\nCreator,City", "@{},Bari", "('TikTok creators,') | 'Creator' (@nira.voss,"),
    ("Username,Link", "{},https://x.example/{}/status/1", "/status/1')"),
    ("Handle,Where", "a,shop~b,TikTok~c,TikTok", "('TikTok'), whose names | 'Handle' (a, b, c)"),
    ("Username,Link", "a,tiktok.com/@a~b,tiktok.com/@b~c,instagram.com/c", "('tiktok.com/@a')"),
    ("Name,X account", "@{},{}", "('X account') | 'Name' (@nira"),
    ("Facebook", "https://instagram.com/{}", "('Facebook'), whose names | (https://instagram.c"),
    # The platform column leaves no row
    ("Handle,Platform", "@{},x", "no usable handle in column 'Handle' | in 'Platform' (x, x, x)"),
    ("Platform,Handle", "Not on Instagram,@{}", "no usable handle | 'Platform' (Not on Instagram"),
    # No candidate: by its header
    ("First Name,Nickname", "Nira,{}", "'First Name' (Nira, Nira, Nira), 'Nickname' (nira.voss,"),
    ("User story,Name", "{},Nira", "no column | 'User story' (nira.voss"),
    ("Manager username,Email", "{},n@voss.example", "no column | 'Manager username' (nira.voss"),
    ("GENRE,Details", "@{},instagram.com/{}", "no column"),
    # ... or by its cells
    ("Name,Country", "@velmo,Malta~Osk,Peru~@tam,Rome~Rua,Bari", "no column | 'Name' (@velmo, Osk"),
    ("Name,Where", "N,instagr.am/osk~O,at home", "no column | 'Where' (instagr.am/osk, at home)"),
    ("Where,City", "instagr.am/osk,~,Bari~,Rome~,Pisa", "no column | 'Where' (instagr.am/osk)"),
    ("Name,Instagram", "N,350000~O,12.5K~V,@velmo", "no column | 'Instagram' (350000, 12.5K"),
    ("Instagram", "yes~" * 1000 + "velmo", "no column | 'Instagram' (yes, yes, yes)"),
    ("Name,Handle", "N,coming soon~O,ask her~V,velmo", "no column | 'Handle' (coming soon"),
    ("Name,Handle", "N,#N/A~O,none~V,", "no column | 'Handle' (#N/A, none)"),
    ("Handle,GENRE,Details", "", "no column | 'Handle' (empty)"),
    # More than one
    ("Instagram,Insta 2", "@{},@a{}", "several columns | 'Instagram' (@nira. | 'Insta 2' (@anira."),
    ("Handle,Handle", "{},a{}", "several columns | 'Handle' (nira.voss, | 'Handle' (anira.voss,"),
    ("Name,Influencer", "@{},@a{}", "several columns | 'Name' (@nira | 'Influencer' (@anira"),
    ("Instagram,Where", "@{},instagr.am/a{}", "several | 'Instagram' (@ | 'Where' (instagr.am"),
]


@pytest.mark.parametrize(("header", "rows", "words"), REFUSED)
def test_an_unclear_list_is_refused(world: World, header: str, rows: str, words: str) -> None:
    world.input.write_text(f"{header}\n{rows_of(rows)}")
    result = world.run()
    assert result.code == 2 and result.log.count("\n") == 1
    assert all(each in result.log for each in (str(world.input), *words.split(" | ")))
    assert 'name the right one with --username-column "HEADER"' in result.log
    assert world.standin.log == [] and not world.output.exists()


def test_the_name_of_the_file_may_say_which_network_a_list_is_of(world: World) -> None:
    world.remember(*map(cache_entry, USERS))
    for name, header in (("ig", "Username,TikTok"), ("x", "Username"), ("tiktok_2", "Username")):
        world.input = world.folder / f"{name}.csv"
        world.input.write_text(f"{header}\n{rows_of('{}')}")
        result = world.run()
        assert result.code == (2 if name == "tiktok_2" else 0)
    assert "names another network ('tiktok_2')" in result.log


def test_a_refusal_lists_thirty_columns_at_most_and_shortens_what_is_long(world: World) -> None:
    headers = ",".join(f"Column {number}" for number in range(35))
    world.input.write_text(f"{headers}\n{'word ' * 2000}\x1b[2J\n")
    log = world.run().log
    assert "'Column 29' (empty) and 5 more; name" in log
    assert "'Column 30'" not in log and len(log) < 1500


# Named columns


NAMED = [  # the header, the flag's value, and the column that is taken
    ("Handle, OTHER  one ", " other   one", "OTHER one"),
    ("Handle,Gro\u0308\u00dfe", "GR\u00d6SSE", "Gr\u00f6\u00dfe"),
    ("Handle,TikTok", "TikTok", "TikTok"),
    ("Handle,,Mail", "", ""),
]


@pytest.mark.parametrize(("header", "named", "taken"), NAMED)
def test_the_username_column_is_as_named(world: World, header: str, named: str, taken: str) -> None:
    world.live("velmo")
    world.input.write_text(f"{header}\nosk,velmo\nosk,Tam Orrel\nosk,osk.example and more\n")
    result = world.run("--username-column", named)
    assert f"handles from '{taken}' (@velmo)" in result.log
    assert "Plan: 3 rows: 1 pending, 2 no handle; 1 profile to fetch" in result.log
    assert world.standin.names == ["velmo"]


def test_a_column_to_fill_tells_of_another_network_by_its_header_only(world: World) -> None:
    world.input.write_text("Username,TikTok bio,GENRE\n" + rows_of("{},,x"))
    result = world.run("--details-column", "TikTok bio")
    assert result.code == 2 and "names another network ('TikTok bio')" in result.log
    world.input.write_text("Username,About,GENRE,Details\n" + rows_of("{},b,x,TikTok: @a"))
    assert world.run("--genre-column", "About").code == 0


UNUSABLE_FLAGS = [
    ("--username-column", "Handl", "no column 'Handl': | 'Handle' (@osk | 'Mail' (o@arwen"),
    ("--username-column", "mail", "no usable handle in column 'Mail' (o@arwen.example)"),
    ("--username-column", "NAME", "several of column 'NAME' | rename all but one"),
    ("--genre-column", "category", "no column 'category': | 'Mail' (o@ | --genre-column"),
    ("--details-column", "Details", "no column 'Details' | --details-column"),
    ("--details-column", "genre", "one column for both --genre-column and --details-column"),
    ("--genre-column", "Handle", "no column that may hold Instagram handles"),
]


@pytest.mark.parametrize(("flag", "name", "words"), UNUSABLE_FLAGS)
def test_an_unusable_column_is_refused(world: Any, flag: str, name: str, words: str) -> None:
    world.input.write_text("Name,GENRE,Handle,Mail, name\nOsk,,@osk,o@arwen.example,O\n")
    result = world.run(flag, name)
    assert result.code == 2 and result.log.count("\n") == 1
    assert all(word in result.log for word in words.split(" | "))


def test_columns_of_other_names_are_filled_where_empty_and_nothing_is_added(world: World) -> None:
    world.live("nira.voss", "osk.arwen")
    rows = ["@nira.voss,,,", "@osk.arwen,Food,,Bio", "NIRA.VOSS,Art,,"]
    world.input.write_text("\n".join(["Handle,category,GENRE,biography", *rows]))
    assert world.run("--genre-column", "Category ", "--details-column", "biography").code == 0
    assert world.rows == [
        ["Handle", "category", "GENRE", "biography"],
        ["@nira.voss", "Blogger", "", "The biography of nira.voss"],
        ["@osk.arwen", "Food", "", "Bio"],
        ["NIRA.VOSS", "Art", "", "The biography of nira.voss"],
    ]
    assert world.standin.names == ["nira.voss"], "once, and nobody whose cells are filled"


def test_a_column_is_judged_by_cells_from_all_over_a_long_list(world: World) -> None:
    rows = ["N,#N/A,a,b"] * 2900 + ["A,@osk,a,b", "B,tam,a,b", "C,@velmo,a,b"]
    world.input.write_text("\n".join(["Name,Insta,GENRE,Details", *rows]))
    assert "handles from 'Insta' (@osk, @tam, @velmo)" in world.run().log
    rows = [f"@friend{number},@osk{number},a,b" for number in range(1000)]
    rows += [f"some text,@osk{number},a,b" for number in range(1000, 3000)]
    world.input.write_text("\n".join(["Username,Account,GENRE,Details", *rows]))
    assert "handles from 'Account' (@osk0, @osk1, @osk2 …)" in world.run().log


def test_the_plan_names_columns_first_handles_and_the_row_of_the_header(world: World) -> None:
    world.live(*USERS)
    columns = "handles from 'Handle' (@nira.voss, @osk.arwen, @tam.orrel …), to fill 'GENRE' and"
    log = world.run().log
    assert f"Columns: {columns} 'Details'\n" in log
    assert log.index("Columns: ") < log.index("@nira.voss: Blogger")
    rows = "N,@nira.voss,\nN,@nira.voss,\nV,@velmo,\nT,@tam.orrel,\n"
    world.input.write_text(f"My list\n\nName,Insta,genre\n{rows}")
    columns = "handles from 'Insta' (@nira.voss, @velmo, @tam.orrel), to fill 'genre' and"
    assert f"Columns: {columns} 'Details' (new); the header is row 3\n" in world.run().log
