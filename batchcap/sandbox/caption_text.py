"""WebVTT captions that differ for each (id, language) and are cheap to make.

All languages of an id have the same number of cues, as translations have. Only the first
cue is made for the id; the others come from a few prepared texts per language, so that
even a thousand files a second cost almost no CPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from batchcap.sandbox import random_draws

_CUE_BYTES = 84
"""The average size of an English cue, including its timing line."""

_VARIANTS = 16

_MILLISECONDS = re.compile(r"(?<=:[0-9]{2})\.([0-9]{3})")
"""The milliseconds of a WebVTT timestamp; SubRip has a comma before them."""

_LINES: Mapping[str, tuple[str, ...]] = {
    "en": (
        "Welcome back, and thank you for joining us.",
        "Today we look at how the harbour was built.",
        "“It took nine winters,” she said quietly.",
        "The first stones came by barge, at high tide.",
        "Nobody had ever tried that before.",
        "And yet, by spring, the light was burning.",
        "Let us walk down to the water together.",
    ),
    "es": (
        "Bienvenidos de nuevo y gracias por acompañarnos.",
        "Hoy veremos cómo se construyó el puerto.",
        "«Fueron nueve inviernos», dijo en voz baja.",
        "Las primeras piedras llegaron en barcaza, con marea alta.",
        "¡Nadie lo había intentado jamás!",
        "Y aun así, en primavera, la luz ya ardía.",
        "¿Bajamos juntos hasta el agua?",
    ),
    "fr": (
        "Bon retour parmi nous, et merci d’être là.",
        "Aujourd’hui, voyons comment le port fut bâti.",
        "« Il a fallu neuf hivers », dit-elle à voix basse.",
        "Les premières pierres vinrent par péniche, à marée haute.",
        "Personne n’avait jamais essayé cela.",
        "Et pourtant, au printemps, la lumière brûlait déjà.",
        "Descendons ensemble jusqu’à l’eau.",
    ),
    "de": (
        "Willkommen zurück, schön, dass Sie dabei sind.",
        "Heute sehen wir, wie der Hafen gebaut wurde.",
        "„Neun Winter hat es gedauert“, sagte sie leise.",
        "Die ersten Blöcke kamen bei Flut mit dem Kahn.",
        "Das hatte noch niemand versucht.",
        "Und doch brannte im Frühling das Licht – für alle.",
        "Gehen wir gemeinsam hinunter zum Wasser.",
    ),
    "pt": (
        "Bem-vindos de volta e obrigado pela companhia.",
        "Hoje vamos ver como o porto foi construído.",
        "“Levou nove invernos”, disse ela em voz baixa.",
        "As primeiras pedras vieram de barcaça, na maré alta.",
        "Ninguém jamais havia tentado isso.",
        "E, ainda assim, na primavera a luz já ardia.",
        "Vamos descer juntos até à água.",
    ),
    "it": (
        "Bentornati, e grazie di essere con noi.",
        "Oggi vediamo com’è stato costruito il porto.",
        "«Ci vollero nove inverni», disse a bassa voce.",
        "Le prime pietre arrivarono su chiatte, con l’alta marea.",
        "Nessuno ci aveva mai provato.",
        "Eppure, in primavera, la luce era già accesa.",
        "Scendiamo insieme fino all’acqua.",
    ),
    "ja": (
        "お帰りなさい。ご覧いただきありがとうございます。",
        "今日は、この港がどう造られたかを見ていきます。",
        "「九つの冬がかかりました」と彼女は静かに言った。",
        "最初の石は、満潮のときに艀で運ばれました。",
        "それまで誰も試したことがありませんでした。",
        "それでも春には、灯りがともっていたのです。",
        "一緒に水辺まで歩きましょう。",
    ),
    "zh": (
        "欢迎回来，感谢您的收看。",
        "今天我们来看看这座港口是怎样建成的。",
        "“花了九个冬天，”她轻声说。",
        "第一批石料是涨潮时用驳船运来的。",
        "从来没有人这样尝试过。",
        "然而到了春天，灯火已经点亮。",
        "我们一起走到水边去吧。",
    ),
    "ko": (
        "다시 오신 것을 환영합니다. 함께해 주셔서 감사합니다.",
        "오늘은 이 항구가 어떻게 지어졌는지 살펴봅니다.",
        "“아홉 번의 겨울이 걸렸어요.” 그녀가 조용히 말했다.",
        "첫 돌들은 만조 때 바지선으로 들어왔습니다.",
        "아무도 시도해 본 적이 없는 일이었습니다.",
        "그런데도 봄이 되자 등불이 켜졌습니다.",
        "함께 물가로 내려가 봅시다.",
    ),
    "ar": (
        "أهلاً بعودتكم، وشكراً لانضمامكم إلينا.",
        "اليوم نرى كيف بُني هذا الميناء.",
        "قالت بهدوء: «استغرق الأمر تسعة فصول شتاء».",
        "وصلت الحجارة الأولى على متن الصنادل عند المدّ.",
        "لم يحاول أحد ذلك من قبل.",
        "ومع ذلك، كان الضوء مشتعلاً بحلول الربيع.",
        "هيّا ننزل معاً إلى الماء.",
    ),
    "hi": (
        "फिर से स्वागत है, साथ जुड़ने के लिए धन्यवाद।",
        "आज हम देखेंगे कि यह बंदरगाह कैसे बना।",
        "“नौ सर्दियाँ लगीं,” उसने धीरे से कहा।",
        "पहले पत्थर ज्वार के समय नावों से आए।",
        "ऐसा पहले किसी ने नहीं किया था।",
        "फिर भी वसंत तक रोशनी जल चुकी थी।",
        "आइए, साथ में पानी तक चलें।",
    ),
    "ru": (
        "С возвращением, и спасибо, что вы с нами.",
        "Сегодня посмотрим, как строили эту гавань.",
        "«Это заняло девять зим», — тихо сказала она.",
        "Первые камни пришли на баржах, в прилив.",
        "Раньше никто такого не пробовал.",
        "И всё же к весне огонь уже горел.",
        "Давайте вместе спустимся к воде.",
    ),
    "ur": (
        "دوبارہ خوش آمدید، ساتھ دینے کا شکریہ۔",
        "آج ہم دیکھیں گے کہ یہ بندرگاہ کیسے بنی۔",
        "اس نے آہستہ سے کہا: ”نو سردیاں لگیں“۔",
        "پہلے پتھر جوار کے وقت کشتیوں پر آئے۔",
        "اس سے پہلے کسی نے یہ کوشش نہیں کی تھی۔",
        "پھر بھی بہار تک روشنی جل چکی تھی۔",
        "آئیے، مل کر پانی تک چلتے ہیں۔",
    ),
}

LANGUAGES: tuple[str, ...] = tuple(_LINES)
"""The languages with lines of their own. Others get the English lines with a language prefix."""


def make_webvtt(identifier: str, language: str, size: int = 4096) -> bytes:
    """Return the captions of an id in a language, about `size` bytes long in English."""
    variant = random_draws.integer(_VARIANTS, "captions", identifier)
    header = f"WEBVTT\n\n1\n{_timing(0)}\n[{language}] {identifier}\n\n"
    return header.encode() + _body(language, max(1, size // _CUE_BYTES), variant)


def make_srt(identifier: str, language: str, size: int = 4096) -> bytes:
    """Return the same captions in SubRip."""
    text = make_webvtt(identifier, language, size).decode().removeprefix("WEBVTT\n\n")
    return _MILLISECONDS.sub(r",\1", text).encode()


@lru_cache(maxsize=4096)
def _body(language: str, cues: int, variant: int) -> bytes:
    primary = language.partition("-")[0].lower()
    lines = _LINES.get(primary) or tuple(f"({language}) {line}" for line in _LINES["en"])
    spoken = (lines[(number * (variant + 1)) % len(lines)] for number in range(1, cues))
    return "".join(
        f"{number + 1}\n{_timing(number)}\n{line}\n\n" for number, line in enumerate(spoken, 1)
    ).encode()


def _timing(number: int) -> str:
    return f"{_timestamp(number * 2500)} --> {_timestamp(number * 2500 + 2300)}"


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"
