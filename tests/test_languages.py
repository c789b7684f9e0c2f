"""Language tags, names and directions."""

import subprocess
import sys

import pytest

from eclectus import languages
from eclectus.errors import ConfigError


@pytest.mark.parametrize(
    ("tag", "standard"),
    [
        ("es", "es"),
        ("spa", "es"),
        ("pt_BR", "pt-BR"),
        ("zh-hans", "zh-Hans"),
        ("spa_Latn", "es"),
        ("iw", "he"),
        ("qu", "qu"),
    ],
)
def test_a_known_tag_gets_its_standard_spelling(tag: str, standard: str) -> None:
    assert languages.normalise(tag) == standard


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("xx", "write a BCP-47 tag"),
        ("qaa", "write a BCP-47 tag"),
        ("spanish", "'es'"),
        ("Galiccian", "'gl'"),
        ("", "write"),
    ],
)
def test_an_unknown_tag_is_refused_with_a_hint(tag: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown language '{tag}'.*{hint}"):
        languages.normalise(tag)


def test_a_run_uses_one_spelling_and_names_each_language_once() -> None:
    assert languages.check(["en", "pt-BR"]) == ["en", "pt-BR"]
    with pytest.raises(ConfigError, match=r"write 'pt-BR'.* instead of 'pt_br'"):
        languages.check(["en", "pt_br"])
    with pytest.raises(ConfigError, match="'en' stands twice"):
        languages.check(["en", "es", "en"])


@pytest.mark.parametrize(
    ("tag", "name"), [("es", "Spanish"), ("pt-BR", "Portuguese (Brazil)"), ("zh-Hans", "Chinese (Simplified)")]
)
def test_display_names(tag: str, name: str) -> None:
    assert languages.name(tag) == name


def test_varieties_are_told_apart_and_portuguese_is_european() -> None:
    assert languages.locale("pt") == languages.locale("pt-PT") != languages.locale("pt-BR")
    assert languages.locale("zh") == languages.locale("zh-CN") != languages.locale("zh-Hant")
    assert languages.locale("es") != languages.locale("es-MX")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["en-es"], [("en", "es")]),
        (["en-*"], [("en", "es"), ("en", "pt-BR")]),
        (["*-pt-BR"], [("en", "pt-BR"), ("es", "pt-BR")]),
        (["pt-BR-es", "pt-BR-*"], [("pt-BR", "es"), ("pt-BR", "en")]),
        (
            ["es-en", "*-*"],
            [("es", "en"), ("en", "es"), ("en", "pt-BR"), ("es", "pt-BR"), ("pt-BR", "en"), ("pt-BR", "es")],
        ),
    ],
)
def test_patterns_expand_in_order_without_duplicates(patterns: list[str], expected: list[tuple[str, str]]) -> None:
    assert languages.expand_directions(patterns, ["en", "es", "pt-BR"]) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("en-fr", "names 'fr'"),
        ("pt-BR-fr", "names 'fr'"),
        ("ess-*", "names 'ess'.*did you mean 'es'"),
        ("en-en", "matches nothing"),
        ("english", "cannot read 'english'"),
        ("xx-yy", "cannot read 'xx-yy'"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        languages.expand_directions([pattern], ["en", "es", "pt-BR"])


_FLORES = """
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab ars_Arab ary_Arab
arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl bem_Latn ben_Beng
bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn
cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn
pes_Arab fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn
hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn
jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor knc_Arab knc_Latn kaz_Cyrl kbp_Latn kea_Latn
khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kon_Latn kor_Hang kmr_Latn lao_Laoo lvs_Latn lij_Latn lim_Latn lin_Latn
lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn
mkd_Cyrl plt_Latn mlt_Latn mni_Beng khk_Cyrl mos_Latn mri_Latn zsm_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva
nso_Latn nus_Latn nya_Latn oci_Latn gaz_Latn ory_Orya pag_Latn pan_Guru pap_Latn pol_Latn por_Latn prs_Arab pbt_Arab
quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn
sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn
tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi taq_Latn taq_Tfng tpi_Latn tsn_Latn tso_Latn tuk_Latn
tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn wol_Latn
xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zul_Latn
"""  # NLLB Team 2022, table 1, as in the model's tokenizer
FLORES = _FLORES.split()
MBART = ["ar_AR", "de_DE", "en_XX", "es_XX", "fa_IR", "he_IL", "ko_KR", "pt_XX", "sw_KE", "tl_XX", "zh_CN"]
M2M100 = ["ar", "en", "fa", "he", "jv", "ko", "no", "ns", "ps", "pt", "sr", "sw", "tl", "uz", "zh"]


def test_each_flores_code_has_a_tag_of_its_own_that_leads_back_to_it() -> None:
    codes = languages.Codes(FLORES)
    assert len(codes.tags) == len(set(codes.tags)) == len(FLORES) == 202
    assert {codes.find(tag) for tag in codes.tags} == set(FLORES)
    assert all(languages.normalise(tag) == tag for tag in codes.tags)


@pytest.mark.parametrize("code", FLORES)
def test_a_flores_code_itself_and_its_standard_spelling_are_found(code: str) -> None:
    codes = languages.Codes(FLORES)
    assert codes.find(code) == code
    assert codes.find(languages.normalise(code)) == code


@pytest.mark.parametrize(
    ("codes", "tags"),
    [
        (
            FLORES,
            "ar:arb_Arab arz:arz_Arab sw:swh_Latn zh:zho_Hans zh-CN:zho_Hans zh-Hant:zho_Hant zh-TW:zho_Hant"
            " cmn:zho_Hans yue:yue_Hant pt:por_Latn pt-BR:por_Latn no:nob_Latn nb:nob_Latn nn:nno_Latn fa:pes_Arab"
            " fa-AF:prs_Arab ps:pbt_Arab qu:quy_Latn ms:zsm_Latn min:min_Latn ak:aka_Latn tw:twi_Latn fil:tgl_Latn"
            " ko:kor_Hang he:heb_Hebr et:est_Latn lv:lvs_Latn mn:khk_Cyrl sq:als_Latn om:gaz_Latn ku:kmr_Latn"
            " ckb:ckb_Arab ks:kas_Arab ks-Deva:kas_Deva pcm:- sr-Latn:- en-GB:eng_Latn",
        ),
        (MBART, "ar:ar_AR arb:ar_AR arz:- en:en_XX pt:pt_XX pt-BR:pt_XX zh:zh_CN zh-Hant:- zh-TW:- fil:tl_XX sw:sw_KE"),
        (M2M100, "nso:ns nb:no no:no nn:- he:he jv:jv zh:zh zh-TW:- sr:sr sr-Latn:- uzn:uz"),
        (["pt", "pt_BR", "zh_Latn", "zh", "iw", "translate"], "pt:pt pt-BR:pt_BR pt-PT:pt zh:zh zh-Latn:zh_Latn he:iw"),
    ],
)
def test_a_tag_finds_the_code_of_the_model_or_none(codes: list[str], tags: str) -> None:
    found = languages.Codes(codes)
    for pair in tags.split():
        tag, _, code = pair.partition(":")
        assert (found.find(tag) or "-") == code, tag


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, eclectus.languages, eclectus.corpora.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
