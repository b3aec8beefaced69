"""The well-known names of columns: one table from a name to the part it usually plays.

Names are compared without case, spaces, ``_``, ``-`` and ``.``; a compound counts by its last word
(``review_text`` is a text, ``ticket_category`` a category). Within a part, an earlier line is a stronger
name: where two columns could be the target, the stronger one is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

Part = Literal[
    "conversation",
    "system",
    "history",
    "tools",
    "context",
    "prompt",
    "target",
    "rejected",
    "rules",
    "wanted",
    "weight",
    "group",
    "id",
    "not used",
]
Kind = Literal["answer", "label", ""]  # of a target: an answer is written, a label is one of a few

_CONVERSATION = "messages contents conversations conversation dialogue dialog dialogs chat turns"
_SYSTEM = "system systemprompt systemmessage sysprompt systemtext systeminstruction"
_HISTORY = "history chathistory"
_TOOLS = "tools functions availabletools functionschema toolschema apis function functiondefinitions"
_CONTEXT = """
    context ctx passage background evidence schema contexts paragraph createtable tableschema knowledge
    support
"""
_QUESTION = """
    prompt instruction instructions question q query input inputs inputtext userinput userprompt prompttext
    userquery sourcetext source src problem request usermessage nlquery nlquestion naturallanguage frage
    pregunta domanda pergunta vraag anfrage eingabe entrada soru pytanie otazka pertanyaan cauhoi
    вопрос запрос 问题 問題 提问 質問 질문 سؤال प्रश्न 指令 输入 入力
"""
_TEXT = """
    text sentence review tweet content body message utterance comment post document article abstract
    description title subject headline question1 question2 sentence1 sentence2 text1 text2 texta textb
    textpair premise hypothesis statement claim phrase snippet email sms mail note complaint feedback
    transcript doc qs pattern story narrative reviewtext reviewbody tweettext commenttext messagetext
    newsheadline newstext ticket tickettext issue dialogue shortdescription reviewtitle summarytext user
    human customer line utt lyrics paragraph speech code sentenceone sentencetwo conclusion chatlog report
    texte phrase avis titre betreff nachricht beschreibung titel satz texto titulo mensaje oracion resena
    opinion comentario mensagem descripcion descricao avaliacao testo titolo recensione messaggio commento
    commentaire kommentar inhalt zin bericht omschrijving onderwerp metin yorum tekst wiadomosc teks ulasan
    noidung текст отзыв сообщение комментарий 文本 内容 句子 评论 評論 標題 标题 文章 正文 テキスト 本文 文
    レビュー 문장 리뷰 텍스트 نص पाठ
"""
_ANSWER = (
    """completion response output answer answers ans reply target targettext targets outputtext
    completiontext assistant gpt bot chatgpt modelresponse chosen chosenresponse preferredoutput preferred
    correctanswer antwort ausgabe respuesta salida risposta resposta antwoord reponse cevap odpowiedz
    odpoved jawaban traloi ответ 答案 回答 回复 答复 输出 出力 答え 답변 جواب उत्तर""",
    """expectedoutput expectedanswer expectedresponse expected groundtruth gold reference goldanswer
    answerkey responses botresponse chatbotresponse agentresponse systemresponse correctoption
    correctchoice""",
    """summary highlights translation translated targetsentence sql sqlquery cypher command cmd bash
    apicall call solution correction corrected rewrite rewritten paraphrase simplified simplification
    keywords translatedtext code entities zusammenfassung resumen resume""",
)
_LABEL = (
    """label goldlabel labels class classlabel target labeltext labelname etiquette
    etikett etiqueta etichetta etiket etykieta rotulo nhan 标签 標籤 ラベル 라벨 метка klasse
    clase classe""",
    """category categories intent intents sentiment emotion topic tag tags polarity
    stance tone spam toxicity categorie kategorie categoria kategoria категория 类别 类型 分类
    分類 カテゴリ 카테고리 情感 情绪 感情 감정 intencion intention absicht gefuhl stimmung sentimiento
    sentimento duygu тональность airlinesentiment classindex classid labelid categoryid
    queue department issuetype tickettype emotions genre mood""",
    """rating stars score overall star grade bewertung punkte note nota calificacion
    puntuacion valoracion""",
)
_REJECTED = "rejected rejectedresponse dispreferred nonpreferredoutput nonpreferred losing loser"
_CHOSEN = ("chosen", "chosenresponse", "preferredoutput", "preferred")
_WANTED = "ktotag desirable isdesirable wanted thumbsup iswanted isgood accepted"
_WEIGHT = "weight lossweight sampleweight exampleweight"
_ID = """
    id ids idx index no nr num number row rowid rowindex rownumber uid uuid guid key qid pid tid sid docid
    exampleid sampleid recordid itemid messageid promptid hash unnamed0 unnamed serial serialnumber sno slno
    # questionid answerid reviewid tweetid ticketid commentid postid asin isbn code_id productid userid
    customerid conversationid 序号 编号 番号
"""
_OTHER = """
    url link uri href date time datetime timestamp createdat createddate updatedat year month day author
    authors user username userid profilename language lang locale split subset dataset license licence model
    modelname version metadata meta info extra source quelle fuente fonte sourceurl domain difficulty level
    explanation rationale reasoning justification cot chainofthought thought thoughts steps proof notes
    likes retweets retweetcount upvotes downvotes votes views helpfulvotes helpfulnessnumerator
    helpfulnessdenominator location country city age gender price quantity cost currency images image
    imageurl filename file path filepath confidence annotator annotatorid worker workerid embedding
    embeddings vector tokens tokencount ntokens wordcount numtokens flags flag verifiedpurchase origin
    provider created modified name firstname lastname phone status numturns turn answerstart isimpossible
    contextset responseid similarity distance
    from to cc bcc sender senders recipient recipients receiver receivers replyto sentto sentby sentfrom
    sentat senton receivedat receivedon postedat postedby createdby createdon updatedby updatedon modifiedby
    closedat closedby resolvedat openedat uploadedby timezone owner assignee assignedto reporter requester
    submitter poster handle screenname nickname avatar ip ipaddress useragent headers permalink website
    mailbox folder attachments read unread starred archived edited deleted posted ts epoch site zip zipcode
    postcode postalcode reviewer employee
    von an absender empfanger datum uhrzeit zeit benutzer benutzername verfasser expediteur destinataire
    auteur utilisateur heure remitente destinatario fecha hora autor usuario remetente utente mittente autore
    afzender ontvanger aan gebruiker отправитель получатель дата время автор пользователь 发件人 收件人 日期
    时间 作者 用户 用户名 差出人 宛先 日付 日時 作者 ユーザー
"""

_EVERY: tuple[tuple[Part, Kind, int, str], ...] = (
    ("conversation", "", 0, _CONVERSATION),
    ("system", "", 0, _SYSTEM),
    ("history", "", 0, _HISTORY),
    ("tools", "", 0, _TOOLS),
    ("context", "", 0, _CONTEXT),
    ("prompt", "", 0, _QUESTION),
    ("prompt", "", 1, _TEXT),
    ("prompt", "", 2, "choices options endings alternatives"),
    *(("target", "answer", rank, names) for rank, names in enumerate(_ANSWER)),
    *(("target", "label", rank, names) for rank, names in enumerate(_LABEL)),
    ("rejected", "", 0, _REJECTED),
    ("wanted", "", 0, _WANTED),
    ("weight", "", 0, _WEIGHT),
    ("id", "", 0, _ID),
    ("not used", "", 0, _OTHER),
)
_NAMED_IN_ENGLISH = """
    turkish polish swedish danish norwegian finnish greek czech romanian hungarian ukrainian
    vietnamese thai hebrew persian urdu bengali tamil telugu swahili
"""
_LANGUAGES = {
    **dict.fromkeys(("en", "eng", "english", "englisch", "anglais", "ingles"), "English"),
    **dict.fromkeys(("fr", "fra", "fre", "french", "français", "francais"), "French"),
    **dict.fromkeys(("de", "deu", "ger", "german", "deutsch"), "German"),
    **dict.fromkeys(("es", "spa", "spanish", "español", "espanol"), "Spanish"),
    **dict.fromkeys(("it", "ita", "italian", "italiano"), "Italian"),
    **dict.fromkeys(("pt", "por", "portuguese", "português"), "Portuguese"),
    **dict.fromkeys(("nl", "nld", "dutch", "nederlands"), "Dutch"),
    **dict.fromkeys(("ru", "rus", "russian"), "Russian"),
    **dict.fromkeys(("zh", "zho", "chinese", "cn", "zh-cn", "zh-tw"), "Chinese"),
    **dict.fromkeys(("ja", "jpn", "japanese", "jp"), "Japanese"),
    **dict.fromkeys(("ko", "kor", "korean"), "Korean"),
    **dict.fromkeys(("ar", "ara", "arabic"), "Arabic"),
    **dict.fromkeys(("hi", "hin", "hindi"), "Hindi"),
    **{name: name.capitalize() for name in _NAMED_IN_ENGLISH.split()},
    "tr": "Turkish",
    "pl": "Polish",
    "sv": "Swedish",
    "da": "Danish",
    "fi": "Finnish",
    "el": "Greek",
    "cs": "Czech",
    "ro": "Romanian",
    "hu": "Hungarian",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "th": "Thai",
    "he": "Hebrew",
    "fa": "Persian",
    "ur": "Urdu",
    "bn": "Bengali",
    "ta": "Tamil",
    "sw": "Swahili",
}

_SHORT_ANSWER: tuple[Part, Kind, int] = ("target", "answer", 2)  # of "A" next to "Q"
_FIRST = ("target", "output", "expected", "gold", "reference", "corrected", "simplified", "translated")
_NAMELESS = re.compile(r"(?:column|unnamed:?)?[\s_]*\d*", re.IGNORECASE)
_ATTRIBUTES = (
    "brand product productname producttitle producttype item itemname manufacturer company "
    "vendor ingredients marke produkt marque produit marca producto prodotto produto"
)
_OF_AN_ACT = ("by", "at", "on")
_YES_OR_NO = ("is", "has", "was", "were", "are", "have", "had", "can", "does", "did")
_QUOTES = {"'": "'", '"': '"', "`": "`", "‘": "’", "“": "”", "„": "“", "«": "»", "「": "」"}
_OPTION = re.compile(
    r"(?:(?:option|choice|opt|op|ending|answer)[\s_]?)?[A-Ea-e]|(?:option|choice|opt|ending)[\s_]?[0-5]"
)


def unquoted(name: str) -> str:
    """A name without quote marks around the whole of it: ``'Love'`` is ``Love``; any other name as it is."""
    bare = name.strip()
    if len(bare) > 2 and _QUOTES.get(bare[0]) == bare[-1] and not {bare[0], bare[-1]} & {*bare[1:-1]}:
        return bare[1:-1].strip() or name
    return name


def is_nameless(name: str) -> bool:
    """Whether a column has no real name: ``column 3``, pandas' ``Unnamed: 3``, a number, nothing."""
    return _NAMELESS.fullmatch(name.strip()) is not None


def is_yes_or_no(name: str) -> bool:
    """Whether a name asks a question that yes or no answers: ``is_reply``, ``hasImage``."""
    return (words_of(name) or [""])[0] in _YES_OR_NO


def plain(name: str) -> str:
    """A name as it is compared: without quotes, case, accents, spaces, ``_``, ``-``, ``.`` and ``:``."""
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", unquoted(name)))
    return re.sub(r"[\s_.:\-]+", "", unicodedata.normalize("NFC", bare)).casefold()


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: ``review_text``, ``reviewText`` and ``Review Text`` have two."""
    parts = re.split(r"[\s_.:\-/]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unquoted(name).strip()))
    return [part.casefold() for part in parts if part]


@cache
def _table() -> dict[str, list[tuple[Part, Kind, int]]]:
    table: dict[str, list[tuple[Part, Kind, int]]] = {}
    for part, kind, rank, names in _EVERY:
        for name in names.split():
            table.setdefault(plain(name), []).append((part, kind, rank))
    return table


def _whole(name: str) -> list[tuple[Part, Kind, int]]:
    bare = plain(name)
    return _table().get(bare) or (_table().get(bare[:-1], []) if bare.endswith("s") else [])


def parts_of(name: str) -> list[tuple[Part, Kind, int]]:
    """The parts that a column of this name may play, each with the kind of target and how strong the name is
    (0 is strongest; a compound is weaker than its last word alone)."""
    whole = _whole(name)
    if whole:
        return whole
    if _OPTION.fullmatch(name.strip()):
        return [("prompt", "", 2), *([_SHORT_ANSWER] if plain(name) == "a" else [])]
    words = words_of(name)
    if len(words) < 2:
        return []
    first, last = _table().get(words[0], []), _table().get(words[-1], [])
    if is_yes_or_no(name):
        last = [found for found in last if found[1] == "label" or found[0] == "not used"]  # not is_reply
    if words[-1] in _OF_AN_ACT and not last:
        last = [("not used", "", 0)]  # reported_by, seen_at
    if words[0] in _FIRST and not any(part in ("id", "not used") for part, _, _ in last):
        known = first  # target_report
    else:
        known = last or [found for found in first if found[1] == "label"]  # category_hint
    return [(part, kind, rank + 10) for part, kind, rank in known]


def is_name(name: str) -> bool:
    """Whether a text is a well-known column name as a whole."""
    return bool(_whole(name)) or (plain(name) in map(plain, _LANGUAGES) and len(name.strip()) > 2)


def language(name: str) -> str | None:
    """The language that a column is named after, or None."""
    return _LANGUAGES.get(name.strip().casefold())


def is_attribute(name: str) -> bool:
    """Whether a column says what the text of a row is about, such as a brand or a product."""
    return plain(name) in _ATTRIBUTES.split()


def is_chosen(name: str) -> bool:
    """Whether a column holds the preferred answer of a pair."""
    return plain(name) in _CHOSEN
