"""Which column holds the handles, which rows are on Instagram, and where the table begins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import World, profile, sheet_of

from instagram_enrichment import UnusableError, header_kind


def many(header: str, rows: list[str]) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


class Listing(NamedTuple):
    """A list as people keep it, and what of it is fetched; nothing if it has to be refused."""

    name: str
    text: str
    column: str = ""  # of the handles
    fetched: str = ""


LISTS = [
    # Other networks, left of Instagram, right of it, and instead of it
    Listing(
        "twitter left of instagram",
        "Name,Twitter,Instagram\nNira,@nira_tw,@nira.voss\nOsk,@osk_tw,@osk.arwen\n"
        "Tam,@tam_tw,@tam.orrel\nVel,@vel_tw,#N/A\n",
        "Instagram",
        "nira.voss osk.arwen tam.orrel",
    ),
    Listing(
        "x account left of plain instagram names",
        "X account,IG\n@nira_x,nira.voss\n@osk_x,osk.arwen\n@tam_x,tam.orrel\n@vel_x,velmo\n",
        "IG",
        "nira.voss osk.arwen tam.orrel velmo",
    ),
    Listing(
        "tiktok username beside the instagram link",
        "TikTok Username,Instagram link\nnira_tt,https://www.instagram.com/nira.voss/\n"
        "osk_tt,https://www.instagram.com/osk.arwen/\ntam_tt,\nvel_tt,instagram.com/velmo\n",
        "Instagram link",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "another network's username, and a handle",
        "youtube_handle,handle\n@niratube,nira.voss\n@osktube,osk.arwen\n@tamtube,tam.orrel\n"
        "@veltube,velmo\n",
        "handle",
        "nira.voss osk.arwen tam.orrel velmo",
    ),
    Listing(
        "only tiktok",
        "Name,TikTok\nNira,@nira_tt\nOsk,@osk_tt\nTam,@tam_tt\nVel,@vel_tt\n",
    ),
    Listing(
        "only twitter, in Korean",
        "이름,트위터\n니라,@nira_tw\n오스크,@osk_tw\n탐,@tam_tw\n벨,@vel_tw\n",
    ),
    Listing(
        "usernames beside addresses on tiktok",
        "username,profile link\nnira_tt,https://www.tiktok.com/@nira_tt\n"
        "osk_tt,https://www.tiktok.com/@osk_tt\ntam_tt,https://www.tiktok.com/@tam_tt\n"
        "vel_tt,https://www.tiktok.com/@vel_tt\n",
    ),
    Listing(
        "@names beside addresses on tiktok",
        "Creator,URL\n@nira_tt,tiktok.com/@nira_tt\n@osk_tt,tiktok.com/@osk_tt\n"
        "@tam_tt,tiktok.com/@tam_tt\n@vel_tt,tiktok.com/@vel_tt\n",
    ),
    Listing(
        "addresses on Instagram under a strange header",
        "Creator,TikTok\nhttps://instagram.com/nira.voss,@nira_tt\n"
        "https://instagram.com/osk.arwen,@osk_tt\nhttps://instagram.com/velmo,@vel_tt\n,@tam_tt\n",
        "Creator",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "addresses on Instagram in another network's column",
        "Name,Facebook\nNira,https://instagram.com/nira.voss\nOsk,https://instagram.com/osk.arwen\n"
        "Vel,https://instagram.com/velmo\nTam,@tam_fb\nRua,rua_fb\n",
        "Facebook",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "handles in the column of names, and a name alone",
        'Name,City\n"Nira Voss\n@nira.voss",Bari\nOsk (@osk.arwen),Pisa\nVelmo,Asti\n@tam,Roma\n',
        "Name",
        "nira.voss osk.arwen tam",
    ),
    Listing(
        "one column for both networks, with notes",
        "Name,Handles\nNira,@nira.voss - IG / @nira_tt - TikTok\nOsk,IG: @osk.arwen\n"
        "Vel,@vel_tt (TikTok)\nTam,@tam.orrel\n",
        "Handles",
        "nira.voss osk.arwen tam.orrel",
    ),
    Listing(
        "addresses on tiktok beside @names under Instagram",
        "TikTok,Instagram\ntiktok.com/@nira_tt,@nira.voss\ntiktok.com/@osk_tt,@osk.arwen\n"
        "tiktok.com/@vel_tt,@velmo\ntiktok.com/@tam_tt,\n",
        "Instagram",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "an account of @names beside plain usernames",
        "Username,Account\njane1,@nira.voss\njoe2,@osk.arwen\nann3,@velmo\ntom4,\n",
        "Account",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "mentions of others",
        "Name,Mentions\nNira,@brandone\nOsk,@brandtwo\nVel,@brandthree\nTam,@brandfour\n",
    ),
    # Counts, check boxes, labels, totals
    Listing(
        "counts under Instagram",
        "Handle,Instagram,TikTok\nnira.voss,350000,12.5K\nosk.arwen,1200,3M\nvelmo,99,1\n"
        "tam.orrel,1.5M,7\n",
        "Handle",
        "nira.voss osk.arwen velmo tam.orrel",
    ),
    Listing(
        "only counts under Instagram",
        "Name,Instagram\nNira,350000\nOsk,12.5K\nVel,1\nTam,2.1M\n",
    ),
    Listing(
        "counts left of handles",
        "Instagram followers,Instagram handle\n350000,nira.voss\n12000,osk.arwen\n99,velmo\n"
        "7,tam\n",
        "Instagram handle",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "check boxes under Instagram",
        "Username,Instagram,TikTok\nnira.voss,yes,no\nosk.arwen,Yes,x\nvelmo,no,yes\ntam,TRUE,✓\n",
        "Username",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "only check boxes",
        "Name,Instagram\nNira,TRUE\nOsk,FALSE\nVel,TRUE\nTam,TRUE\n",
    ),
    Listing(
        "the text of a link in every row",
        "Name,Instagram,Where\nNira,Link,@nira.voss\nOsk,Link,@osk.arwen\nVel,Link,@velmo\n"
        "Tam,Link,@tam\n",
        "Where",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "one word in every row",
        "Name,Instagram\n" + "".join(f"Name {row},profilo_ig\n" for row in range(10)),
    ),
    Listing(
        "tiers and categories of accounts",
        "Instagram tier,Account category,IG\nmicro,food,@nira.voss\nmacro,art,@osk.arwen\n"
        "nano,food,@velmo\nmicro,music,@tam\n",
        "IG",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "a total below",
        "Handle,Followers\nnira.voss,10\nosk.arwen,20\nvelmo,30\nTotal,60\n",
        "Handle",
        "nira.voss osk.arwen velmo",
    ),
    # Names of people and logins beside the handles
    Listing(
        "first names beside addresses",
        "User,Profile link\nNira,https://www.instagram.com/nira.voss/\nOsk,\n"
        "Vel,https://www.instagram.com/velmo?hl=en\nTam,https://www.instagram.com/tam.orrel/\n",
        "Profile link",
        "nira.voss velmo tam.orrel",
    ),
    Listing(
        "logins beside Instagram",
        "Login,Username,Instagram\nadmin1,jane_d,@nira.voss\nadmin2,joe_b,@osk.arwen\n"
        "admin3,ann_c,@velmo\nadmin4,tom_x,\n",
        "Instagram",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "account managers",
        "Account manager,Handle\njane,@nira.voss\njoe,@osk.arwen\nann,@velmo\ntom,@tam\n",
        "Handle",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "brands in the texts of a bio",
        "username,Biography\nnira.voss,Founder of @brandone\nosk.arwen,With @brandtwo\n"
        "velmo,At @brandthree\ntam,By @brandfour\n",
        "username",
        "nira.voss osk.arwen velmo tam",
    ),
    # Rows of other networks
    Listing(
        "a platform column",
        "Handle,Platform\n@nira.voss,Instagram\n@osk_tt,TikTok\n@velmo,IG & TikTok\n@tam.orrel,\n",
        "Handle",
        "nira.voss velmo tam.orrel",
    ),
    Listing(
        "a platform column in Spanish",
        "Usuario,Red social\n@nira.voss,Instagram\n@osk_tt,Tik Tok\n@velmo,instagram\n"
        "@tam_b,Blog\n",
        "Usuario",
        "nira.voss velmo",
    ),
    Listing(
        "a platform column in German",
        "Benutzername;Plattform\nnira.voss;Instagram\nosk_yt;YouTube\nvelmo;Insta/YouTube\n"
        "tam_x;X\n",
        "Benutzername",
        "nira.voss velmo",
    ),
    Listing(
        "a platform column in Portuguese, and an address",
        "Perfil,Plataforma\n@nira.voss,Instagram\nhttps://instagram.com/osk.arwen,TikTok\n"
        "@vel_yt,YouTube\n@tam_yt,YouTube\n",
        "Perfil",
        "nira.voss osk.arwen",
    ),
    Listing(
        "the main platform of people with an Instagram column",
        "Main platform,Instagram\nYouTube,@nira.voss\nTikTok,@osk.arwen\nInstagram,@velmo\n"
        "Twitch,@tam\n",
        "Instagram",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "a platform column without Instagram",
        "Handle,Platform\n@nira_tt,TikTok\n@osk_yt,YouTube\n@vel_tt,TikTok\n@tam_x,X\n",
    ),
    Listing(
        "a channel that is no network",
        "Handle,Channel\n@nira.voss,Food\n@osk.arwen,Travel\n@velmo,Art\n@tam,Food\n",
        "Handle",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "a platform column of nothing but X",
        "Platform,Handle\nX,@nira_x\nX,@osk_x\nX,@vel_x\nX,@tam_x\n",
    ),
    Listing(
        "two columns of networks",
        "Channel,Platform,Handle\nInstagram,TikTok,@osk_tt\nInstagram,Instagram,@nira.voss\n"
        "YouTube,Instagram,@vel_yt\n,IG,@tam\n",
        "Handle",
        "nira.voss tam",
    ),
    Listing(
        "a platform that is denied",
        "Platform,Handle\nNot Instagram,@nira.voss\nTikTok (no IG),@osk.arwen\nInstagram,@velmo\n"
        "IG,@tam\n",
        "Handle",
        "velmo tam",
    ),
    Listing(
        "a header that is repeated, and types",
        "Name,Instagram Handle\ntext,string\nN,nira.voss\nName,Instagram_Handle\nO,osk.arwen\n",
        "Instagram Handle",
        "nira.voss osk.arwen",
    ),
    Listing(
        "what became of a contact",
        "Name,Instagram,Handle\nN,followed,@nira.voss\nO,followed,@osk.arwen\n"
        "V,unfollowed,@velmo\nT,requested,@tam\n",
        "Handle",
        "nira.voss osk.arwen velmo tam",
    ),
    # Sparse columns
    Listing(
        "most cells are #N/A",
        "Name,Instagram\nNira,#N/A\nOsk,osk.arwen\nVel,#N/A\nTam,-\n",
        "Instagram",
        "osk.arwen",
    ),
    Listing(
        "a few plain words among other things",
        "Name,Instagram,Where\nNira,coming soon,@nira.voss\nOsk,no idea,@osk.arwen\n"
        "Vel,velmo,@velmo\nTam,ask her,@tam\n",
        "Where",
        "nira.voss osk.arwen velmo tam",
    ),
    Listing(
        "a few addresses among other things",
        "Name,Instagram\nNira,coming soon\nOsk,https://www.instagram.com/osk.arwen/\nVel,ask her\n"
        "Tam,maybe later\n",
        "Instagram",
        "osk.arwen",
    ),
    # Headers in other languages
    Listing(
        "Spanish",
        "Nombre,Nombre de usuario\nNira,nira.voss\nOsk,osk.arwen\nVel,velmo\nTam,\n",
        "Nombre de usuario",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "French",
        "Nom,Nom d’utilisateur,Abonnés\nNira,nira.voss,10\nOsk,osk.arwen,20\nVel,velmo,30\n"
        "Tam,,9\n",
        "Nom d’utilisateur",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "Italian",
        "Nome,Nome utente,Città\nNira,nira.voss,Roma\nOsk,osk.arwen,Bari\nVel,velmo,Pisa\n"
        "Tam,,Asti\n",
        "Nome utente",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "Korean",
        "이름,인스타그램 아이디,팔로워\n니라,nira.voss,10\n오스크,osk.arwen,20\n"
        "벨,velmo,30\n탐,없음,4\n",
        "인스타그램 아이디",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "Russian, with a foreign network",
        "Имя,Твиттер,Инстаграм\nНира,@nira_tw,nira.voss\nОск,@osk_tw,osk.arwen\nВел,,velmo\nТам,,нет\n",
        "Инстаграм",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "Japanese",
        "名前,ユーザー名,フォロワー数\nニラ,nira.voss,10\nオスク,osk.arwen,20\nヴェル,velmo,30\nタム,,4\n",
        "ユーザー名",
        "nira.voss osk.arwen velmo",
    ),
    # Lines above the header, and delimiters
    Listing(
        "a title, a comment and blank lines",
        "Instagram list 2026,,\n# asked for in May,,\n\n,,\nName,Followers,Handle\n"
        "Nira,10,nira.voss\n"
        "Osk,20,osk.arwen\nVel,30,velmo\nTam,40,#N/A\n",
        "Handle",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "the line that tells Excel the delimiter",
        "sep=;\r\nName;Instagram;City (a, b)\r\nNira;nira.voss;Bari\r\nOsk;osk.arwen;Pisa\r\n"
        "Vel;velmo;Asti\r\nTam;;Roma",
        "Instagram",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "vertical bars",
        "Name|Insta|Notes\nNira|@nira.voss|a, b\nOsk|@osk.arwen|c; d\nVel|@velmo|\nTam||e\n",
        "Insta",
        "nira.voss osk.arwen velmo",
    ),
    Listing(
        "a title above names that may be on another network",
        "TikTok creators,\nCreator,City\n@nira_tt,Bari\n@osk_tt,Pisa\n@vel_tt,Asti\n@tam_tt,Roma\n",
    ),
]


@pytest.mark.parametrize(
    ("header", "is_platform"),
    [
        *((header, True) for header in ("Platform", "Platforms", "Main platform", "Red social")),
        *(
            (header, True)
            for header in ("Platform (IG, X)", "Redes sociales", "Réseau social", "SNS")
        ),
        *(
            (header, False)
            for header in ("Other platforms", "YouTube channel", "Social media handle")
        ),
        *((header, False) for header in ("Channel link", "Telegram Network")),
        *((header, False) for header in ("Otras redes", "Platform fee", "Networking", "Redes")),
    ],
)
def test_a_column_of_platforms_is_told_by_its_header_and_its_cells(
    tmp_path: Path, header: str, is_platform: bool
) -> None:
    rows = ["@osk,TikTok", "@tam,Instagram", "@velmo,YouTube"]
    sheet = sheet_of(tmp_path, many(f'Handle,"{header}"', rows))
    fetched = [row.username for row in sheet.rows if row.username]
    assert fetched == (["tam"] if is_platform else ["osk", "tam", "velmo"])


HEADERS = {
    "INSTAGRAM": """
        Instagram | INSTAGRAM | IG link | contact:instagram | Instagram page | instagram_handle |
        igUsername | IGHandle | instahandle | Perfil de Instagram | What is your Instagram
        handle? |
        Instagram (@) | Influencer's Insta | Instagram (main) |
        Instagram handle, spelled exactly | 인스타(선택) | InstaGram |
        What is your Instagram handle so we can tag you? | Agency Instagram | 인스타 | инстаграм |
        インスタグラム |
        \u110b\u1175\u11ab\u1109\u1173\u1110\u1161""",
    "INSTAGRAM_AND_OTHERS": "Instagram / TikTok | Instagram or X handle",
    "HANDLE": """
        handle | Handles | Handle (@name) | @ | User Name | ambassador_username | Benutzername |
        Nombre de usuario | Nome de usuário | nom d'utilisateur | kullanıcı adı | Kullanici Adi |
        Имя пользователя | Nazwa użytkownika | ユーザー名 | 아이디""",
    "ACCOUNT": """
        Account | profile | User | channel_info | Cuenta | Usuário | Perfil | Profil | Konto |
        Compte | Profilo | Nick | Account name | Profile URL | 계정 | アカウント""",
    "OTHER_NETWORK": """
        Twitter | X | OnlyFans handle | SoundCloud username | tthandle | Venmo handle |
        TikTok handle | Tik Tok | YouTube | Threads | 트위터 | Твиттер | X account""",
    "TEXT": """
        Bio | Referred by (handle) | Agency | Mentions | Notes | Caption | Instagram bio |
        Descripción""",
    "ANYTHING": """
        Name | Country | Instagram followers | Followers (Instagram) | Instagram tier | Login |
        IG category | Found on Instagram | Has Instagram? | Verified account | Account manager |
        Account owner | Profile picture |
        User type | Seguidores | Seguidores de Instagram | Number of accounts | Igreja |
        Installs |
        Accounting | Userbase""",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_read_without_case_accents_spaces_and_punctuation(kind: str) -> None:
    headers = [header.strip() for header in HEADERS[kind].split("|")]
    assert {header: header_kind(header).name for header in headers} == dict.fromkeys(headers, kind)


listed = pytest.mark.parametrize("listing", LISTS, ids=lambda listing: listing.name)


@listed
def test_what_is_fetched_is_decided_by_what_the_cells_hold(
    tmp_path: Path, listing: Listing
) -> None:
    if not listing.fetched:
        with pytest.raises(UnusableError, match="--username-column"):
            sheet_of(tmp_path, listing.text.encode())
        return
    sheet = sheet_of(tmp_path, listing.text.encode())
    assert sheet.handle_header == listing.column
    assert [row.username for row in sheet.rows if row.username] == listing.fetched.split()


@listed
def test_of_every_list_only_the_filled_cells_and_the_added_columns_change(
    tmp_path: Path, listing: Listing
) -> None:
    if not listing.fetched:
        return
    sheet = sheet_of(tmp_path, listing.text.encode())
    names = listing.fetched.split()
    output = b"".join(sheet.render({name: profile(name, "Art", "Carves") for name in names}))
    before, after = (
        listing.text.splitlines(keepends=True),
        output.decode().splitlines(keepends=True),
    )
    assert len(before) == len(after)
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    assert len(changed) == 1 + len(names)
    for (old, new), added in zip(changed, ["GENRE;Details", *["Art;Carves"] * len(names)]):
        end = old[len(old.rstrip("\r\n")) :]
        added_cells = re.split("[,;|]", new.removesuffix(end)[len(old.removesuffix(end)) :])
        assert new.startswith(old.removesuffix(end)) and new.endswith(end)
        assert added_cells == ["", *added.split(";")]


@pytest.mark.parametrize(
    "header",
    [
        *("Instagram Handle", "instagram_handle", "INSTAGRAM-HANDLE", " Instagram  Handle "),
        *("Handle", "handle", "Username", "User Name", "user_name", "Instagram", "Instagram URL"),
        *(
            "InstagramHandle",
            "instagram url:",
            "Account",
            "Profile",
            "PROFILE",
            "Instagram Username",
        ),
        *(
            "Usuario",
            "Usuario de Instagram",
            "Cuenta",
            "Cuenta de Instagram",
            "Perfil",
            "nombre de usuario",
        ),
    ],
)
def test_a_usual_name_is_the_handle_column_whatever_it_holds(tmp_path: Path, header: str) -> None:
    data = f"Name,{header},GENRE,Details\n@wrong.one,osk.arwen,,\n@wrong.two,#N/A,,\n"
    sheet = sheet_of(tmp_path, data.encode())
    assert sheet.handle_header == header.strip()
    assert [row.username for row in sheet.rows] == ["osk.arwen", None]


@pytest.mark.parametrize(
    ("text", "column", "usernames"),
    [
        ("Profile,Handle\nwrong,osk\n", "Handle", ["osk"]),
        ("Username,Instagram Handle\nwrong,osk\n", "Instagram Handle", ["osk"]),
        ("Handle,Handle\nosk,wrong\n", "Handle", ["osk"]),
        ("Handle,Handle\n,osk\n", "Handle", ["osk"]),
        ("Account,Where\nAcme Ltd,@osk\nBolt & Co,@tam\n", "Where", ["osk", "tam"]),
        ("Account,Profile\nAcme Ltd,osk\n", "Profile", ["osk"]),
        ("Account,Where\nAcme Ltd,@osk\n@tam,@voss\n", "Account", [None, "tam"]),
        ("Perfil,Instagram\nviajes,osk\n", "Instagram", ["osk"]),
        ("@handle,Name\nosk,Osk\n", "@handle", ["osk"]),
        ("Handle (@name),Name\nOsk @osk,Osk\n", "Handle (@name)", ["osk"]),
        ("Who,Where\nOsk,@osk.arwen\nTam,@tam\nVoss,\n", "Where", ["osk.arwen", "tam", None]),
        (
            "Who,Link\nOsk,https://www.instagram.com/osk/\nTam,instagram.com/tam\n",
            "Link",
            ["osk", "tam"],
        ),
        ('Who,Where\n"Osk\n@osk",Malta\n"Tam\n@tam",Peru\n', "Who", ["osk", "tam"]),
        ("Details,Who\n@wrong,@osk\n@wrong,@tam\n", "Who", ["osk", "tam"]),
        ("A,B\n@osk,@wrong\n", "A", ["osk"]),
        ("A;B\nx;@osk\n", "B", ["osk"]),
    ],
)
def test_the_handle_column_is_found(
    tmp_path: Path, text: str, column: str, usernames: list[Any]
) -> None:
    sheet = sheet_of(tmp_path, text.encode())
    assert sheet.handle_header == column
    assert [row.username for row in sheet.rows] == usernames


@pytest.mark.parametrize(
    "text",
    [
        "Name,Country\nOsk,Malta\nTam,Peru\n",
        "Name,Country\nosk.arwen,Malta\n",
        "Name,Country\n@osk,Malta\nTam,Peru\n",  # half are not most
        "Name,Details\nOsk,@osk\n",
        "Name,GENRE,Details\n",
        "Handle,GENRE,Details\n",
        "Handle,Name\n#N/A,Osk\n,Tam\n",
        "Handle,Name\nnone,Osk\n.,Tam\n",
        "Account,Name\nAcme Ltd,Osk\n",
        "Name,Mail\nOsk,osk@arwen.example\n",
    ],
)
def test_a_list_without_handles_is_refused_with_its_columns_and_the_flag(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(UnusableError) as refused:
        sheet_of(tmp_path, text.encode())
    for word in ("--username-column", *text.splitlines()[0].split(",")):
        assert word in str(refused.value)
    assert ("no rows below its header" in str(refused.value)) is (text.count("\n") == 1)


@pytest.mark.parametrize(
    ("header", "wanted", "found"),
    [
        ("Handle,Other", "Other", "Other"),
        ("Handle,Other", "other", "Other"),
        ("Handle,Other", "OTHER", "Other"),
        ("Handle,Other ", "Other", "Other"),
        ("Other,HANDLE,handle", "handle", "handle"),
        ("Other,HANDLE,handle", "HANDLE", "HANDLE"),
        ("Handle,Wo steht es?", "Wo steht es?", "Wo steht es?"),
        ("Handle,Größe", "größe", "Größe"),
    ],
)
def test_username_column_names_the_column(
    tmp_path: Path, header: str, wanted: str, found: str
) -> None:
    assert sheet_of(tmp_path, f"{header}\na,b,c\n".encode(), wanted).handle_header == found


def test_a_column_that_is_wanted_but_holds_no_usable_handle_is_refused_though_another_would_do(
    tmp_path: Path,
) -> None:
    with pytest.raises(UnusableError, match="no usable handle in column 'Name'.*--username-column"):
        sheet_of(tmp_path, b"Handle,Name\n@osk,Osk Arwen\n", "Name")


@pytest.mark.parametrize(
    "header", ["@osk", "osk,@osk.arwen", "https://www.instagram.com/osk/", "Osk,instagram.com/osk"]
)
def test_a_list_without_a_header_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(UnusableError, match="the first row has to name the columns"):
        sheet_of(tmp_path, f"{header}\n@tam,@tam\n".encode())


@pytest.mark.parametrize("wanted", ["Nobody", "", " ", "Handl", "Handle,Name"])
def test_a_missing_username_column_is_refused_though_another_would_do(
    tmp_path: Path, wanted: str
) -> None:
    with pytest.raises(UnusableError, match="--username-column") as refused:
        sheet_of(tmp_path, b"Handle,Name\n@osk,Osk\n", wanted)
    assert "'Handle'" in str(refused.value) and "'Name'" in str(refused.value)


def test_username_column_is_the_one_that_is_fetched(world: World) -> None:
    world.live("wrong", "osk.arwen")
    world.input.write_text("Handle,Second\n@wrong,@osk.arwen\n")
    assert world.run("--username-column", "second").code == 0
    filled = ["@wrong", "@osk.arwen", "Blogger", "The biography of osk.arwen"]
    assert world.rows == [["Handle", "Second", "GENRE", "Details"], filled]
    assert world.standin.names == ["osk.arwen"]


def test_one_plain_word_in_most_of_ten_cells_is_no_column_of_handles(tmp_path: Path) -> None:
    names = [f"nira.{number}" for number in range(4)]
    sheet = sheet_of(
        tmp_path, many("Name,Username", [f"N,{each}" for each in [*names, *["a"] * 5]])
    )
    assert sheet.handle_header == "Username"  # nine cells: a list of posts repeats a name, too
    with pytest.raises(UnusableError):
        sheet_of(tmp_path, many("Name,Username", [f"N,{each}" for each in [*names, *["a"] * 6]]))
    sheet = sheet_of(
        tmp_path, many("Name,Username", [f"N,@{each}" for each in [*names, *["a"] * 6]])
    )
    assert sheet.handle_header == "Username"


def test_the_few_handles_of_a_sparse_column_of_a_long_list_are_found(tmp_path: Path) -> None:
    rows = [f"Name {number},#N/A,," for number in range(3000)]
    rows[2900:2903] = ["A,@osk,,", "B,@tam,,", "C,@velmo,,"]
    sheet = sheet_of(tmp_path, many("Name,Where,GENRE,Details", rows))
    assert sheet.handle_header == "Where"
    assert [row.username for row in sheet.rows if row.username] == ["osk", "tam", "velmo"]


def test_a_column_is_judged_by_cells_from_all_over_a_long_list(tmp_path: Path) -> None:
    rows = [f"@friend{number},@osk{number}" for number in range(1000)]
    rows += [f"some text,@osk{number}" for number in range(1000, 3000)]
    sheet = sheet_of(tmp_path, many("Person,Where", rows))
    assert sheet.handle_header == "Where"


def test_half_of_a_column_has_to_be_usable_if_only_its_header_speaks_for_it(tmp_path: Path) -> None:
    rows = ["coming soon,@a", "ask her,@b", "no idea,@c", "velmo,@d", "tam,@e"]
    assert sheet_of(tmp_path, many("Instagram,Where", rows)).handle_header == "Where"
    assert sheet_of(tmp_path, many("Instagram,Where", rows[1:])).handle_header == "Instagram"


def test_where_a_tenth_of_an_instagram_column_is_marked_its_plain_words_are_not_fetched(
    tmp_path: Path,
) -> None:
    cells = ["@osk", "see notes", "see notes", "see notes", "see notes", "later", "see notes"]
    sheet = sheet_of(tmp_path, many("Name,Instagram", [f"N,{cell}" for cell in cells]))
    assert [row.username for row in sheet.rows] == ["osk", *[None] * 6]
    cells = ["@osk", *["see notes"] * 9]
    with pytest.raises(UnusableError):
        sheet_of(tmp_path, many("Name,Instagram", [f"N,{cell}" for cell in cells]))


@pytest.mark.parametrize(
    ("above", "number"),
    [
        ("Influencers 2026\n", 2),
        ("Influencers 2026,,\n", 2),
        ("\n\nInfluencers 2026\n\n# asked for in May\n\n", 7),
        (",,\n,,\n", 3),
        (",\n\n  ,\n", 4),
        ("# by hand\r\n", 2),
        ("sep=,\n", 2),
        ("# made by me, and you\n", 2),
        ("\ufeffsep=,\r\n", 2),
        ("sep=,\nInfluencers 2026\n", 3),
        ('"Influencers, 2026\nthe second line"\n', 2),
        ("Instagram\n", 2),
    ],
)
def test_lines_above_the_header_are_kept_and_are_not_the_header(
    tmp_path: Path, above: str, number: int
) -> None:
    table = "Name,Followers,Handle\nOsk,10,osk.arwen\n"
    sheet = sheet_of(tmp_path, (above + table).encode())
    assert sheet.header == ["Name", "Followers", "Handle"]
    assert sheet.header_number == number
    assert [(row.number, row.username) for row in sheet.rows] == [(number + 1, "osk.arwen")]
    output = b"".join(sheet.render({"osk.arwen": profile("osk.arwen", "Art", "Carves")}))
    assert output.decode() == (
        f"{above}Name,Followers,Handle,GENRE,Details\nOsk,10,osk.arwen,Art,Carves\n"
    )


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("Handle\n@osk\n@tam\n@velmo,a note\n", "Handle"),
        ("Handle\nosk\ntam\nvelmo,a note\nrua\n", "Handle"),
        ("Handle,,\n@osk,,\n@tam,,\n", "Handle,,"),
        ("Handle\n@instagram\n@osk\n", "Handle"),
        ("People,\n@osk,Bari\n@tam,Roma\n", "People,"),
        ("Handle\nosk\ntam\nvelmo_insta\n", "Handle"),
        ("People\n@osk\n@tam\n@velmo_insta\n", "People"),
        ("Handle\nosk\ntam_insta,a note\n", "Handle"),
        ("Handle\nosk\ntam,a note\nvelmo,a note\nrua,a note\n", "Handle"),
        ("Username\nosk\nthe.user\nuser\n", "Username"),
        ("Instagram\nName,Handle\nOsk,osk\nTam,tam\n", "Name,Handle"),
        ("My list,,\nHandle,GENRE,Details\n@osk,,\n@tam,,\n@velmo,,\n", "Handle,GENRE,Details"),
        ("My list\n# twice\nHandle,City\n@osk,Bari\n", "Handle,City"),
        ("My list\n#,Handle\n1,@osk\n", "#,Handle"),
        ("My list,\nName,@handle\nOsk,@osk\n", "Name,@handle"),
        (",0\n0,@osk\n1,@tam\n", ",0"),
    ],
)
def test_a_title_is_told_from_the_header_of_one_column(
    tmp_path: Path, text: str, header: str
) -> None:
    sheet = sheet_of(tmp_path, text.encode())
    assert sheet.header == header.split(",")
    assert "osk" in [row.username for row in sheet.rows]


@pytest.mark.parametrize("above", ["", "\n\n", ",,\n"])
@pytest.mark.parametrize(
    "header", ["@ana_insta", "x,@osk", "Osk,https://instagram.com/osk", "Osk,@osk - IG"]
)
def test_a_header_that_is_an_entry_is_refused(tmp_path: Path, above: str, header: str) -> None:
    with pytest.raises(UnusableError, match="the first row has to name the columns"):
        sheet_of(tmp_path, f"{above}{header}\n@tam,@tam\n".encode())


@pytest.mark.parametrize(("delimiter", "other"), [",;", ";,", "\t,", "|,"])
def test_the_line_that_tells_excel_the_delimiter_is_believed(
    tmp_path: Path, delimiter: str, other: str
) -> None:
    table = f"Handle{other}a{delimiter}b\n@osk{other}1{delimiter}2\n"
    assert sheet_of(tmp_path, f"sep={delimiter}\n{table}".encode()).header == [
        f"Handle{other}a",
        "b",
    ]
    assert sheet_of(tmp_path, table.encode()).header == ["Handle", f"a{delimiter}b"]


# The columns to fill


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


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--genre-column", "category"], ["'category'", "'Handle', 'GENRE'", "--genre-column"]),
        (["--details-column", "Details"], ["'Details'", "'Handle', 'GENRE'", "--details-column"]),
        (["--details-column", "GENRE"], ["'GENRE'", "--genre-column and --details-column"]),
        (["--genre-column", "Handle"], ["'Handle'", "--username-column"]),
        (["--username-column", "GENRE"], ["'GENRE'", "filled"]),
    ],
)
def test_a_column_that_can_not_be_used_as_told_is_refused(
    world: World, flags: list[str], words: list[str]
) -> None:
    world.input.write_text("Handle,GENRE\n@osk,\n")
    result = world.run(*flags)
    assert result.code == 2 and world.standin.log == []
    assert result.log.count("\n") == 1
    for word in words:
        assert word in result.log


def test_a_default_column_that_is_named_has_to_be_there(world: World) -> None:
    world.input.write_text("Handle\n@osk\n")
    result = world.run("--genre-column", "GENRE")
    assert result.code == 2
    assert "no column 'GENRE'" in result.log


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


def test_a_named_column_of_few_usable_cells_is_taken_and_said_so(world: World) -> None:
    world.live("osk")
    world.input.write_text("Name,Handle\nOsk Arwen,@osk\n@osk,@osk\nTam Orrel,@osk\n#N/A,@osk\n")
    result = world.run("--username-column", "Name")
    assert result.code == 0
    warning = "Only 1 of the 3 filled cells in column 'Name' hold a usable handle"
    assert warning in result.log
    assert result.log.index(warning) < result.log.index("@osk: Blogger")
    assert "filled cells in column" not in world.run("--username-column", "Handle").log


def test_rows_without_a_usable_handle_are_told_by_kind_with_the_first_of_them(
    world: World,
) -> None:
    world.live("osk")
    with world.input.open("a") as file:
        file.write("#N/A,,\n" * 900 + "osk,,\n" * 8 + "@a and @b,,\n" + "350000,,\n")
        file.write(f"{'word ' * 1600},,\n" * 5)
    lines = [line for line in world.run().log.splitlines() if "No usable handle" in line]
    assert len(lines) == 4 and max(map(len, lines)) < 500
    assert lines[0].endswith(
        "No usable handle in 900 rows (empty or none): '#N/A' in row 3, '#N/A' in row 4, "
        "'#N/A' in row 5, '#N/A' in row 6, '#N/A' in row 7 and 895 more"
    )
    assert "in 1 row (more than one name): '@a and @b' in row 911" in lines[1]
