"""Which column holds the handles, which rows are on Instagram, and what a refusal says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World

USERS = ["nira.voss", "osk.arwen", "tam.orrel", "velmo"]
ALL = " ".join(USERS)


def rows_of(template: str) -> str:
    """A row for each of the users, by a template with `{}` for the name; or the rows, as they are.

    `~` stands for a line end.
    """
    if "{}" in template:
        template = "~".join(template.replace("{}", user) for user in USERS)
    return template.replace("~", "\n") + "\n"


# Header, rows, the column that is taken, and whom each row is about: "-" for nobody.
TAKEN = [
    # One column that says it
    ("rank,name,handle,followers,er,topics", '1,Nira,{},"12,345",1.2%,books', "handle", ALL),
    (
        "Rank,Name ,Country,GENRE,Details,Instagram Handle",
        "1,Nira,Malta,,,@{}",
        "Instagram Handle",
        ALL,
    ),
    (",username", "0,{}", "username", ALL),  # as pandas writes it
    ("Name,Instagram", "N,#N/A~" * 14 + "O,@osk~T,tam", "Instagram", "- " * 14 + "osk tam"),
    ("PROFILE,TYPE_IG", "{},business", "PROFILE", ALL),
    ("Handle", "{}", "Handle", ALL),
    ("@handle,Name", "@{},Nira", "@handle", ALL),
    ("Name,User Name", "Nira,{}", "User Name", ALL),
    ("Name,creator_username", "Nira,{}", "creator_username", ALL),
    ("Name,accountName", "Nira,{}", "accountName", ALL),
    ("Name,Profile URL", "Nira,{}", "Profile URL", ALL),
    ("Name,User id", "Nira,{}", "User id", ALL),
    ("Nombre;Usuario;Bio", "Nira;{};Roma, Milán, y más, ya", "Usuario", ALL),
    ("Nome;Nome de usuário", "Nira;{}", "Nome de usuário", ALL),
    ("Nom,Nom d’utilisateur,Abonnés", "Nira,{},10", "Nom d’utilisateur", ALL),
    ("Name;Benutzername", "Nira;{}", "Benutzername", ALL),
    ("Nome,Nome utente", "Nira,{}", "Nome utente", ALL),
    # Instagram's name in the header is stronger than a handle's, and no network beside it counts
    ("Name,Twitter,Instagram", "Nira,@{}_tw,@{}", "Instagram", ALL),
    ("X account,IG", "@{}_x,{}", "IG", ALL),
    ("TikTok Username,Username,instagramHandle", "{}_tt,{}_login,{}", "instagramHandle", ALL),
    ("Login,Username,What is your Insta?", "a1,{}_login,@{}", "What is your Insta?", ALL),
    ("Handle,Instagram / TikTok", "{}_x,@{}", "Instagram / TikTok", ALL),
    ("YouTube,Instagram", "youtube.com/@{}_yt,@{}", "Instagram", ALL),
    ("Instagram,Platform", "@{},TikTok", "Instagram", ALL),
    ("Handle,IG", "@{},yes", "Handle", ALL),
    ("Handle,IG DM", "@{},sent", "Handle", ALL),
    ("Handle,Instagram", "@{},350000", "Handle", ALL),
    ("Instagram followers,Instagram handle", "350000,{}", "Instagram handle", ALL),
    ("Instagram tier,Account category,IG", "micro,food,@{}", "IG", ALL),
    # Most cells are addresses, whatever the header is called
    ("Name,Where", "Nira,https://www.instagram.com/{}/", "Where", ALL),
    ("Name,Where", "N,instagram.com/velmo~O,instagr.am/osk~T,@tam", "Where", "velmo osk tam"),
    ("Name,Where", "N,instagram.com/velmo~O,instagr.am/osk~T,tam", "Where", "velmo osk -"),
    ("Username,TikTok,Link", "{}_x,@{}_tt,instagram.com/{}", "Link", ALL),
    ("Handle,Platform", "instagram.com/{},TikTok", "Handle", ALL),
    ("Link,TikTok", "instagr.am/{},@{}_tt", "Link", ALL),
    # Names with an `@name` in two thirds of them
    ("Rank,Name,Country,GENRE,Details", '1,"Alba Ríos\n@{}",Spain,,', "Name", ALL),
    ("Influencer,City", "@{},Bari", "Influencer", ALL),
    ("Nombre,Ciudad", "Alba (@velmo),Bari~Luz @tam,Roma~Sol,Asti", "Nombre", "velmo tam -"),
    ("Artist,City", "@velmo,Bari~@tam,Roma~Sol,Asti", "Artist", "velmo tam -"),
    # A platform column: only what it says to be on Instagram
    (
        "Usuario,Red social",
        "@velmo,Instagram~@osk,Tik Tok~@tam,instagram~@b,Blog~@c,~@d,no IG",
        "Usuario",
        "velmo - tam - - -",
    ),
    ("Handle,Main platform", "velmo,IG & TikTok~osk,X~tam,Insta", "Handle", "velmo - tam"),
    ("Handle,Plattform", "instagram.com/velmo,YouTube~osk,YouTube~tam,IG", "Handle", "velmo - tam"),
    (
        "Channel,Platform,Handle",
        "Instagram,TikTok,@a~IG,Insta,@velmo~,IG,@c",
        "Handle",
        "- velmo -",
    ),
    ("Handle,Network", "@{},Food", "Handle", ALL),  # names no network
    ("Handle,Where", "velmo,Instagram~osk,TikTok~tam,IG~@rua,", "Handle", "velmo - tam -"),
    (
        "Handle (IG or TikTok),Social media platform used",
        "velmo,Instagram~osk,TikTok~@tam,TikTok~instagram.com/rua,TikTok~@quo,",
        "Handle (IG or TikTok)",
        "velmo - - rua -",
    ),
    # Above the header, and the delimiter
    ("My influencers 2026\nName,Handle", "Nira,{}", "Handle", ALL),
    ("Instagram creators,\n\n# by hand\n,\nName,Handle", "Nira,{}", "Handle", ALL),
    ("Instagram, not TikTok,,\nName,Who,City,Handle", "N,a,b,@{}", "Handle", ALL),
    ("sep=;\nName;Handle", "Nira;{}", "Handle", ALL),
    ("Name\tHandle", "Nira, the first; or not\t{}", "Handle", ALL),
    ("Name|Handle|Notes", "Nira|{}|a, b; c", "Handle", ALL),
    ("Name;Followers, Mio;Handle", "Nira;1,5;{}", "Handle", ALL),
    ("Handle", "velmo~osk.arwen~@tam, a note~rua", "Handle", "velmo osk.arwen tam rua"),
    ("Handle,GENRE,Details", "velmo~osk.arwen~tam", "Handle", "velmo osk.arwen tam"),
    # What looks like another network, and isn't
    ("Handle,Contacted", "{},x", "Handle", ALL),
    (
        "Handle,Site",
        "velmo,tiktok.com/@v~osk,osk.example~tam,tam.example",
        "Handle",
        "velmo osk tam",
    ),
    ("Handle,Campaign", "{},Nike x Zara", "Handle", ALL),
    ("username,followers_x,followers_y", "{},1,2", "username", ALL),  # as pandas joins tables
    ("Username,Snap size,Kick-off", "{},2,3", "Username", ALL),
    ("Handle,Max price", "{},10", "Handle", ALL),
    ("Handle,Likes", "@x.{},5", "Handle", " ".join(f"x.{user}" for user in USERS)),
]


@pytest.mark.parametrize(("header", "rows", "column", "fetched"), TAKEN)
def test_the_one_column_that_says_it_is_taken(
    world: World,
    cached_entry: Callable[..., dict[str, Any]],
    header: str,
    rows: str,
    column: str,
    fetched: str,
) -> None:
    world.input.write_text(f"{header}\n{rows_of(rows)}")
    world.remember(*(cached_entry(name) for name in fetched.split() if name != "-"))
    result = world.run("--report", str(world.report_file))
    assert result.code == 0
    assert f"Columns: handles from '{column}' (@" in result.log
    assert " ".join(row["username"] or "-" for row in world.report) == fetched.strip()
    assert world.standin.log == []


# Header, rows, words of the refusal (separated by " | "), and the name of the file.
REFUSED = [
    # Another network is named, and Instagram isn't
    ("username,retweet", "{},5", "('retweet') | 'username' (nira.voss, osk.arwen, tam.orrel)"),
    ("service,account", "twitter,{}", "('twitter') | 'account' (nira.voss,"),
    ("Name,Username,URL", "N,{},https://www.youtube.com/@{}", "youtube.com/@nira.voss') | (nira"),
    ("username,category", "{},food", "('tiktok_creators') | 'username'", "tiktok_creators.csv"),
    ("username,category", "{},food", "('YouTube 2026')", "YouTube 2026.csv"),
    ("TikTok creators,\nCreator,City", "@{},Bari", "('TikTok creators,') | 'Creator' (@nira.voss,"),
    ("Username,Link", "{},https://x.example/{}/status/1", "/status/1')"),
    ("Name,TikTok", "Nira,@{}", "('TikTok') | 'Name' (Nira, Nira, Nira), 'TikTok' (@nira.voss,"),
    ("youtube_handle,handle", "@{},{}", "('youtube_handle') | 'handle' (nira.voss"),
    ("Handle,Where", "a,shop~b,TikTok~c,TikTok", "('TikTok') and nowhere | 'Handle' (a, b, c)"),
    ("Username,Link", "a,tiktok.com/@a~b,tiktok.com/@b~c,instagram.com/c", "('tiktok.com/@a')"),
    ("Name,X account", "@{},{}", "('X account') | 'Name' (@nira"),
    ("Handle,Platform", "@{},TikTok", "('TikTok') | 'Handle' (@nira.voss"),
    ("Handle,Platform", "@{},x", "no usable handle in column 'Handle' | in 'Platform' (x, x, x)"),
    ("Platform,Handle", "Not on Instagram,@{}", "no usable handle | 'Platform' (Not on Instagram"),
    # No candidate
    ("First Name,Nickname", "Nira,{}", "'First Name' (Nira, Nira, Nira), 'Nickname' (nira.voss,"),
    ("Name,Posts", "Nira,A day with @{}", "no column | 'Posts' (A day with @nira.voss"),
    ("Name,Mentions", "Nira,@{}", "no column | 'Mentions' (@nira.voss"),
    ("Name,Country", "Nira,Malta", "no column | 'Name' (Nira), 'Country' (Malta)"),
    ("Name,Country", "@velmo,Malta~Osk,Peru~@tam,Rome~Rua,Bari", "no column | 'Name' (@velmo, Osk"),
    (
        "Name,Where",
        "N,instagram.com/velmo~O,at home",
        "no column | 'Where' (instagram.com/velmo, at",
    ),
    (
        "Where,City",
        "instagram.com/velmo,~,Bari~,Rome~,Pisa",
        "no column | 'Where' (instagram.com/v",
    ),
    ("User story,Name", "{},Nira", "no column | 'User story' (nira.voss"),
    ("Name,Where", "Nira,@{}", "no column | 'Where' (@nira.voss"),
    ("Manager username,Email", "{},n@voss.example", "no column | 'Manager username' (nira.voss"),
    ("Account type,Verified user", "{},yes", "no column | 'Account type' (nira.voss"),
    ("Instagram bio,Name", "@{},Nira", "no column | 'Instagram bio' (@nira.voss"),
    (
        "Instagram followers",
        "350000~12.5K~99",
        "no column | 'Instagram followers' (350000, 12.5K, 99)",
    ),
    ("Name,Instagram", "N,350000~O,12.5K~V,@velmo", "no column | 'Instagram' (350000, 12.5K"),
    ("Instagram", "yes~" * 1000 + "velmo", "no column | 'Instagram' (yes, yes, yes)"),
    ("Name,Instagram", "N,verdadero~O,FALSO~V,falso", "no column | 'Instagram' (verdadero"),
    ("Name,Instagram", "N,350mil~O,2mi~V,80 mil", "no column | 'Instagram' (350mil"),
    ("Instagram", "x~" * 9 + "velmo", "no column | 'Instagram' (x, x, x)"),
    ("Name,Handle", "N,coming soon~O,ask her~V,velmo", "no column | 'Handle' (coming soon"),
    ("Name,Handle", "N,#N/A~O,none~V,", "no column | 'Handle' (#N/A, none)"),
    ("Name,Handle", "N,~O,", "no column | 'Handle' (empty)"),
    ("Handle,GENRE,Details", "", "no column | 'Handle' (empty)"),
    (
        "Facebook",
        "https://instagram.com/{}",
        "('Facebook') and nowhere | 'Facebook' (https://instagram.com/nira",
    ),
    ("GENRE,Details", "@{},instagram.com/{}", "no column"),
    ("Benutzer-Nr.,Mail", "17,n@voss.example", "no column | 'Benutzer-Nr.' (17)"),
    # More than one
    ("Instagram,Insta 2", "@{},@a{}", "several columns | 'Instagram' (@nira. | 'Insta 2' (@anira."),
    ("Handle,Handle", "{},a{}", "several columns | 'Handle' (nira.voss, | 'Handle' (anira.voss,"),
    ("Username,Account", "{},a{}", "several columns | 'Username' (nira | 'Account' (anira"),
    ("Name,Influencer", "@{},@a{}", "several columns | 'Name' (@nira | 'Influencer' (@anira"),
    ("A,B", "instagram.com/{},instagram.com/a{}", "several columns | 'A' (inst | 'B' (inst"),
    ("Instagram,Where", "@{},instagram.com/a{}", "several columns | 'Instagram' | 'Where'"),
]


@pytest.mark.parametrize(
    ("header", "rows", "words", "name"), [(*each, "list.csv")[:4] for each in REFUSED]
)
def test_a_list_that_is_not_plain_is_refused_with_its_columns_and_the_flag(
    world: World, header: str, rows: str, words: str, name: str
) -> None:
    world.input = world.folder / name
    world.input.write_text(f"{header}\n{rows_of(rows)}")
    result = world.run()
    assert result.code == 2
    assert result.log.count("\n") == 1
    for each in (str(world.input), *words.split(" | ")):
        assert each in result.log
    assert "--username-column" in result.log
    assert world.standin.log == [] and not world.output.exists()


def test_the_name_of_the_file_may_say_that_a_list_is_of_instagram(
    world: World, cached_entry: Callable[..., dict[str, Any]]
) -> None:
    world.remember(*map(cached_entry, USERS))
    for name, code in (("creators.csv", 2), ("ig_creators.csv", 0), ("x.csv", 2)):
        world.input = world.folder / name
        world.input.write_text("Username,TikTok\n" + rows_of("{},@{}_tt"))
        assert world.run().code == code
    world.input.write_text("Username\n" + rows_of("{}"))  # the letter names no network
    assert world.run().code == 0


def test_the_flag_that_a_refusal_names_takes_the_column(world: World) -> None:
    world.live(*USERS)
    world.input.write_text("User Name,retweet\n" + rows_of("{},5"))
    listed = re.search(r": '(.*?)' \(.*; name the right one with (\S+) \"HEADER\"", world.run().log)
    assert listed is not None
    assert world.run(listed[2], listed[1]).code == 0
    assert world.standin.names == USERS


def test_a_refusal_lists_thirty_columns_at_most_and_shortens_what_is_long(world: World) -> None:
    headers = ",".join(f"Column {number}" for number in range(35))
    world.input.write_text(f"{headers}\n{'word ' * 2000}\x1b[2J\n")
    log = world.run().log
    assert "'Column 29' (empty) and 5 more; name" in log
    assert "'Column 30'" not in log and len(log) < 1500


# Named columns


@pytest.mark.parametrize(
    ("header", "named", "taken"),
    [
        ("Handle,Other", "Other", "Other"),
        ("Handle, OTHER  one ", " other   one", "OTHER one"),
        ("Handle,Wo steht es?", "Wo steht es?", "Wo steht es?"),
        ("Handle,Gro\u0308\u00dfe", "GR\u00d6SSE", "Gr\u00f6\u00dfe"),
        ("Handle,Followers", "Followers", "Followers"),
        ("Handle,TikTok", "TikTok", "TikTok"),
        ("Handle,,Mail", "", ""),
    ],
)
def test_username_column_names_the_column_whatever_it_is_called(
    world: World, header: str, named: str, taken: str
) -> None:
    world.live("velmo")
    world.input.write_text(f"{header}\nosk,velmo\n")
    result = world.run("--username-column", named)
    assert result.code == 0
    assert f"handles from '{taken}' (@velmo)" in result.log
    assert world.standin.names == ["velmo"]


def test_a_column_to_fill_tells_of_another_network_by_its_header_only(world: World) -> None:
    world.input.write_text("Username,TikTok bio,GENRE\n" + rows_of("{},,x"))
    result = world.run("--details-column", "TikTok bio")
    assert result.code == 2 and "names another network ('TikTok bio')" in result.log
    world.input.write_text("Username,About,GENRE,Details\n" + rows_of("{},b,x,TikTok: @a"))
    assert world.run("--genre-column", "About").code == 0


UNUSABLE_FLAGS = [
    (["--username-column", "Nobody"], "no column 'Nobody' | 'Handle' (@osk | 'Mail' (o@arwen"),
    (["--username-column", ""], "no column '' | 'Handle'"),
    (["--username-column", "Handl"], "no column 'Handl'"),
    (["--username-column", "mail"], "no usable handle in column 'Mail' (o@arwen.example)"),
    (["--username-column", "NAME"], "several of column 'NAME' | rename all but one"),
    (["--genre-column", "name"], "several of column 'name' | rename all but one"),
    (["--genre-column", "category"], "no column 'category' | --genre-column"),
    (["--details-column", "Details"], "no column 'Details' | --details-column"),
    (
        ["--details-column", "genre"],
        "one column for both --genre-column and --details-column",
    ),
    (["--genre-column", "Handle"], "no column | 'Mail' (o@arwen.example)"),
]


@pytest.mark.parametrize(("flags", "words"), UNUSABLE_FLAGS)
def test_a_column_that_can_not_be_used_as_named_is_refused(
    world: World, flags: list[str], words: str
) -> None:
    world.input.write_text("Name,GENRE,Handle,Mail, name\nOsk,,@osk,o@arwen.example,O\n")
    result = world.run(*flags)
    assert result.code == 2 and world.standin.log == []
    assert result.log.count("\n") == 1
    for word in words.split(" | "):
        assert word in result.log


def test_columns_of_other_names_are_filled_where_empty_and_nothing_is_added(world: World) -> None:
    world.live("nira.voss", "osk.arwen")
    world.input.write_text("Handle,category,GENRE,biography\n@nira.voss,,,\n@osk.arwen,Food,,Bio\n")
    assert world.run("--genre-column", "Category ", "--details-column", "biography").code == 0
    assert world.rows == [
        ["Handle", "category", "GENRE", "biography"],
        ["@nira.voss", "Blogger", "", "The biography of nira.voss"],
        ["@osk.arwen", "Food", "", "Bio"],
    ]
    assert world.standin.names == ["nira.voss"]


# A sample of the cells


def test_the_few_handles_of_a_sparse_column_of_a_long_list_are_found(world: World) -> None:
    rows = [f"Name {number},#N/A,a,b" for number in range(3000)]
    rows[2900:2903] = ["A,@osk,a,b", "B,tam,a,b", "C,@velmo,a,b"]
    world.input.write_text("\n".join(["Name,Insta,GENRE,Details", *rows]))
    assert "handles from 'Insta' (@osk, @tam, @velmo)" in world.run().log


def test_a_column_is_judged_by_cells_from_all_over_a_long_list(world: World) -> None:
    rows = [f"@friend{number},@osk{number},a,b" for number in range(1000)]
    rows += [f"some text,@osk{number},a,b" for number in range(1000, 3000)]
    world.input.write_text("\n".join(["Username,Account,GENRE,Details", *rows]))
    assert "handles from 'Account' (@osk0, @osk1, @osk2 …)" in world.run().log


# What a person sees of it


def test_the_plan_names_the_columns_the_first_handles_and_the_row_of_the_header(
    world: World,
) -> None:
    world.live("nira.voss", "osk.arwen", "velmo", "tam.orrel")
    world.input.write_text(
        "My list\n\nName,Insta,genre\nN,@nira.voss,\nN,@nira.voss,\nO,@osk.arwen,x\nV,@velmo,\n"
        "T,@tam.orrel,\n"
    )
    log = world.run().log
    first = "@nira.voss, @osk.arwen, @velmo …"
    columns = f"handles from 'Insta' ({first}), to fill 'genre' and 'Details' (new)"
    assert f"Columns: {columns}; the header is row 3\n" in log
    assert log.index("Columns: ") < log.index("@nira.voss: Blogger")
    world.live("nira.voss")
    columns = "handles from 'Handle' (@nira.voss), to fill 'GENRE' and 'Details'\n"
    assert f"Columns: {columns}" in world.run().log


def test_a_named_column_of_few_usable_cells_is_taken(world: World) -> None:
    world.live("osk")
    world.input.write_text("Name,Handle\nOsk Arwen,@osk\n@osk,@osk\nTam Orrel,@osk\n#N/A,@osk\n")
    log = world.run("--username-column", "Name").log
    assert "Columns: handles from 'Name' (@osk), to fill" in log
    assert "Plan: 4 rows: 1 pending, 3 no handle; 1 profile to fetch" in log
