"""What people say who want to be left in peace, as patterns over plain text, and what only sounds like it.

In plain text are small letters, an apostrophe joins ("dont"), " . " stands between sentences, and each of the seven
words is in its own spelling, "optout" one word.
"""

SENT = r"(?:texts?|txts?|calls?|messages?|msgs?|sms|e ?mails?|mails?|notifications?|alerts?|spam|subscri\w+|stuff)"
SENDING = (
    r"(?:te?xt?(?:s|in|n|ing+|ting|eing)?|cal+(?:s|in|ng|ing|ling)?|mes+(?:e|a)?g(?:e|es|in|ing|eing)|msging|"
    r"cont[act]{1,4}(?:s|in|ing|ting)?|hitting (?:me|us|my)|blowin|textn|"
    r"e ?mail|e ?mailing|sending|"
    r"spamming|bothering|bugging|harassing|pestering|soliciting|reaching out|hitting me up|blowing up|asking|wasting "
    r"my|"
    r"trying to (?:contact|reach|call)|communicat(?:ion|ing)|being annoying|stalking|hounding|phoning|ringing|dialing|"
    r"receiving|getting (?:these|this|those|your|texts|calls|messages|any|all)|writing|robo ?calling|bombarding|"
    r"annoying me)"
)
NOT = r"(?:dont|do not|do nt|don t|dnt|never|pls dont)"
# Nobody is told anything by "I do not call after 9", nor by "the do not call list".
UNTOLD = (
    r"(?<!\bi )(?<!\bwe )(?<!they )(?<!why )(?<!\bhe )(?<!she )(?<!\byou )(?<!people )(?<!\bu )(?<!\bif )"
    r"(?<!\bthe )(?<!national )(?<!federal )(?<!state )(?<!\ba )"
)
MINE = (
    r"(?:me|us|my (?:name|number|phone|phone number|cell|info|information|email|data|contact)\w*|"
    r"this (?:phone )?number)"
)
LIST = (
    r"(?:(?:your|ur|the|this|all|any|that|these|every|yalls) )+(?:\w+ ){0,2}"
    r"(?:lists?|database|records?|system|contacts?|program|file|files)"
)
DNC = r"(?:dnc|do not (?:call|contact|text)|no call|dont call)"

# Nobody who says one of these wants to hear more.
REVOCATIONS = (
    # Whatever is sent is to stop.
    rf"(?<!\bnon )\b(?:stop|quit|cease|discontinue|halt|end|cancel) (?:with |w |w\/ |it with )?"
    rf"(?:(?:all|any|the|these|those|this|your|ur|of|my|future|further|more|text|fucking|fuckin|damn|dam|stupid|mass|"
    rf"automated|robo|fking) )*(?:{SENDING}|{SENT}|solicitations?|contact)\b",
    r"\b(?:strop|stoop|stomp|top|sop|step|shop|quite|quiet) (?:texting|calling|messaging|contacting|emailing|sending|"
    r"bothering) "
    r"(?:me|us|my|this)\b",
    r"^stop (?:it|this|that) (?:i|im|please|now|right)\b",
    r"^i revoke$",
    r"\b(?:you|u|yall) (?:can|may) (?:please )?stop now\b|\bkill (?:the|these|those) (?:texts|messages|calls|emails)\b",
    rf"\b(?:want|need|like|have|get) {MINE} (?:removed|deleted|erased|taken off|off)\b",
    r"\bmake (?:it|this|them|these|the \w+) stop please\b|\b(?:please|pls) make (?:it|this|them|these) stop\b",
    r"\b(?:get rid|dispose) of my (?:number|info\w*|contact)\b",
    r"\b(?:stop|quit|cease|end) (?:(?:all|any|the|your|these) )*(?:communicat\w+|contact\w*)\b",
    r"\b(?:can|could|would|will|wont|cant|couldnt|need|want|wish|id like|would like|ask(?:ed|ing)?|told|tell|begging|"
    r"beg) "
    r"(?:you|u|yall|these|this|(?:these|the|your) \w+)(?: all| people| guys| nicely| kindly| already| again)*"
    r"(?: to| would| will)?(?: please| pls| plz| just| kindly)* stop\b"
    r"(?! (?:by|in|over|at|lying|playing|joking|apologizing|worrying)\b)",
    r"\b(?:you|u) (?:need|have|must|should|better|had better|got|gotta|ought)(?: to)?(?: please| just)* stop\b(?! "
    r"(?:by|in|over)\b)",
    r"\b(?:i|we|ive|weve) (?:already |just |clearly |have )?(?:said|say|repeat|asked for|texted|wrote) (?:to )?stop\b",
    r"\b(?:have|having) to (?:say|text|tell (?:you|u)(?: to)?|repeat) stop\b",
    r"\bhow (?:do|can|to|would|could)(?: i| we)?(?: \w+){0,2} (?:stop|optout|end)\b",
    r"\b(?:get|make) (?:these|this|the|your) (?:\w+ )?(?:to )?stop\b(?= .|$)",
    r"\bhow (?:do|can) (?:i|we) make (?:this|it|these \w+) stop\b",
    r"\b(?:dont|do not|if (?:you|u)) (?:\w+ )?stop (?:now )?(?:ill|i will|im|i am)\b",
    r"\bsue (?:you|u) if (?:you|u) (?:dont|do not) stop\b",
    r"\b(?:interested|interest|wrong (?:number|person)|who (?:is|are) (?:this|you)|whos this|thanks?(?: you)?(?: "
    r"but)?|thx|"
    r"sorry(?: but)?|please|pls|plz|kindly|fucking|just|god|ffs|gracias|last time|know you) (?:(?!dont|not|never|"
    r"wont|cant)\w+ )?stop(?: now| please| pls| it)?(?: \.|$)",
    r"^stop (?:i (?:dont|do not|already|told|said|am|have)|im|you|or (?:i|ill)|before i|this is|wrong|not interested|"
    r"or else|"
    r"who (?:is|are))\b(?! (?:making|so|were))",
    r"\b(?:put|add|place|stick) (?:me|us|my (?:phone )?number|this number) (?:on|to|in|onto) (?:(?:your|the|ur|a|"
    r"internal) )*"
    r"(?:national )?" + DNC + r"\b",
    rf"^(?:{DNC})(?: list| me)?(?: please| pls| now)?$",
    r"\bcease (?:and )?desist\b",
    r"^(?:please )?(?:cease|desist)(?: please| now)?$",
    # Out of the list.
    rf"\b(?:take|get|cross|strike|scratch|pull|drop) {MINE} (?:off|out of|from)\b(?! (?:work|the bus|the (?:airport|"
    rf"station)))",
    rf"\b(?:take|get|cross|strike|scratch|drop) {MINE} off(?: \.|$| of)",
    rf"\b(?:take|get) (?:\w+ ){{1,3}}off {LIST}",
    r"\b(?:remove|off|of|out) (?:\w+ )?from (?:\w+ )?lists?$|\bremove (?:from|off) (?:\w+ )?list\b",
    rf"\b(?:take|get) {MINE} of {LIST}",
    r"\brefrain from (?:call|text|contact|messag|e ?mail|send)\w*",
    r"\b(?:appreciate|prefer|like|grateful|better|thank you|nice) (?:it )?if (?:you|u|yall) (?:did not|didnt|do not|"
    r"dont|would not|wouldnt|no longer|never|stop)"
    r" ?(?:call|text|contact|messag|e ?mail|writ|send)\w*",
    r"\b(?:dont|do not|no longer|never) (?:want|wish|need|like|care) (?:to )?(?:be )?(?:on|in|part of) (?:\w+ "
    r")?(?:lists?|database)\b",
    rf"\b(?:off|from) {LIST}(?: \.|$| please| now| thanks)",
    rf"\b(?:want|need|like) (?:to be |to get |getting )?(?:off|out of) {LIST}",
    rf"\b(?:remove|remoe|remve|romove|remov|removed?|removing|delete|erase|unlist|deactivate|unenroll|unregister|purge|"
    rf"unsubscribe|optout|scrub|drop|exclude) {MINE}\b",
    r"\b(?:to be|get|be|have (?:me|us)|been) (?:removed|deleted|taken off|unsubscribed|unenrolled)\b",
    r"^(?:please |pls |plz |kindly )?(?:remove|unenroll|unlist)(?: please| pls| now| thanks)*$",
    r"\b(?:sign|check) me (?:off|out)\b",
    r"^(?:unfollow|deactivate|unregister) me\b",
    r"(?<!you )(?<!u )\b(?:lose|loose|forget|erase|delete) (?:you (?:ever )?(?:have|had|got) )?(?:my|this|our) "
    r"(?:phone )?(?:number|contact|info)",
    # No contact.
    rf"{UNTOLD}\b{NOT} (?:you )?(?:ever |evr |eva |even |please |again )?"
    r"(?:(?:reply(?= or)|hit (?:me|my \w+) up|cal|tex|call|text|txt|contact|conact|contac|messge|mesage|message|msg|"
    r"e ?mail|phone|ring|"
    r"bother|disturb|solicit|reach out|write(?: to)?|hit me up|"
    r"send (?:me|us|any|anything|more|texts|messages)|harass|spam|annoy|pester)(?: or | and )?)+\b",
    r"\btold (?:you|u|yall) (?:dont|not to|never to) (?:call|text|contact|message|email|bother|write)",
    rf"\b(?:{NOT}|no longer|not|wouldnt|rather not|prefer not|didnt) (?:\w+ )?(?:want|wanna|wish|need|desire|care|"
    rf"like|interested in)"
    rf"(?: you)?(?: people)?(?: to)? ?(?:be|get|getting|receive|receiving|have|hear from|any|more|your|these|the|"
    rf"those|this|anymore|being)"
    rf" (?:\w+ ){{0,3}}(?:{SENT}|called|texted|contacted|messaged|emailed|you|u)\b(?! (?:all )?(?:want|wrong))",
    rf"\b(?:{NOT}|no longer) (?:want|wish|need)(?: to receive| to get| any)?(?: \w+)? (?:these|{SENT})\b",
    rf"\b(?:{NOT}|no longer) (?:want|need|like|appreciate) (?:you|u|yall)(?: people| guys| all)? (?:to )?"
    r"(?:call|text|contact|messag|e ?mail|bother|write|send)\w*",
    rf"\b{NOT} want to (?:receive|be (?:called|texted|contacted|bothered|disturbed|solicited))\b",
    r"\brather not be (?:called|texted|contacted)\b|\bprefer not to be (?:called|texted|contacted)\b",
    r"\bnever want to hear from\b",
    rf"\bnot interested in (?:receiving|getting) (?:\w+ ){{0,3}}{SENT}",
    rf"\bno (?:more|further|additional|mas) (?:(?:of|these|those|your|the|text|phone|fucking|damn|future) "
    rf")*(?:{SENT}|contact|communicat\w+|please|textos?|"
    r"llamadas?|mensajes?|por favor|correos?)\b",
    r"^(?:please )?no (?:more|mas)(?: please)?$",
    rf"^no (?:{SENT}|texting|calling|contact|solicit\w+)(?: (?:or|and) \w+)?(?: please| pls| thanks| por favor)?$",
    r"\b(?:dont|do not) consent\b(?! form)",
    r"\b(?:revoke|revoking|withdraw|withdrawing|rescind|retract) (?:\w+ ){0,4}(?:consent|permission|authorization)\b",
    r"\b(?:consent|permission) (?:is |has been |hereby )*(?:revoked|withdrawn|rescinded)\b",
    r"\b(?:dont|do not|no longer) have (?:my|our) (?:consent|permission)\b",
    r"\bdo(?:nt| not) have permission to (?:call|text|contact|message|email)\b",
    r"\bnot (?:authorized|allowed|permitted) to (?:call|text|contact)\b",
    # In peace.
    r"\bleave (?:me|us|her|him|my \w+)(?: the)?(?: fuck| hell| fk)? (?:alone|be|in peace)\b",
    r"^(?:please |just |kindly )?(?:go away|get lost|fuck off|fuk off|f off|piss off|buzz off|bugger off|back off|"
    r"bug off|go fuck yourself)\b",
    r"\bget (?:out of|off) my (?:phone|line|cell)\b",
    r"\bf+ ?off\b",
    # Out of the subscription.
    r"\bunsubscribe\b|\bun ?subscribing\b",
    r"\b(?:i|ive|we|to|i have|im|me|am|let me|please|pls|can i|can we|could i|want|and|just) (?:already |still |keep "
    r"|have )?optout\b",
    r"^optout\b",
    r"\bopt(?:ed|ing)? (?:me|us|this number|my \w+) (?:out|off)\b",
    r"^out opt$|^i(?:m| am) revoking\b|^(?:take|get) (?:\w+ )?off (?:\w+ )?lists?$|\b(?:dont|do not) hmu\b",
)
REVOCATIONS_IN_SPANISH = (
    r"\b(?:no|nunca|jamas)(?: mas)?(?: (?:me|nos|le|la|vuelva|vuelvan|vuelvas|a|esten?|sigan?|siga|anden?))* (?:llam|"
    r"escrib|contact|mand|envi|moleste|"
    r"texte|marqu|habl)\w*(?<!llamo)(?<!llame ayer)(?<!escribo)(?<!hablo)(?<!hablar)",
    r"\bno (?:quiero|deseo|autorizo|necesito|doy)(?: que| recibir| mas| mi| sus?| ninguno?a?s?| ser| me| nos)* "
    r"(?:llam\w+|mensajes?|textos?|contact\w+|correos?|consentimiento|escrib\w+|mand\w+)",
    r"\bno mas (?:mensajes?|llamadas?|textos?|correos?|por favor)\b",
    r"\b(?:deje|dejen|deja|dejame|pare|paren|para|parar|alto) (?:de|a los|los|con los) (?:\w+me\b|llamar|llamarme|"
    r"mandar\w*|"
    r"escribir\w*|enviar\w*|molestar\w*|textear\w*|contactar\w*|mensajes?|textos?|llamadas?|marcar\w*|joder)",
    r"\bdej(?:e|a|en)(?:me|nos) (?:en paz|tranquil[oa]s?)\b",
    r"\b(?:quit|sac|saqu|borr|elimin|remuev|remuv)(?:e|a|en)(?:me|nme|nos)\b",
    r"\b(?:quit|sac|borr|elimin|remuev)(?:e|a|en|ar) mi (?:numero|nombre|telefono|correo)\b|\b(?:remueva|olvide|"
    r"pierda|olviden) mi numero\b",
    r"\b(?:dar|darme|darse|deme|dame|denme|doy|date) de baja\b|\bdoy de baja\b",
    r"\b(?:desuscri|desubscri|desinscri|dessuscri)\w+",
    r"\b(?:cancelar?|anular|cancelen|detener) (?:mi |la |los |las )?(?:suscripcion|mensajes|textos|llamadas|"
    r"inscripcion|inscricao)\b",
    r"\b(?:parar|parer?|paren|alto) (?:los |las )?(?:mensajes|textos|llamadas)\b",
    r"\b(?:revoco|retiro) mi (?:consentimiento|autorizacion|permiso)\b",
    r"\bno (?:doy|di|tienen?|tiene) (?:mi |su |el )?(?:permiso|consentimiento|autorizacion)\b",
    r"\b(?:det(?:en|enga|engan)|suspend(?:a|an|er)|termin(?:e|en|ar)|basta) (?:de |con |los |las |ya |esos |estos )*"
    r"(?:mensajes?|textos?|llamadas?|correos?|mandar\w*|enviar\w*|llamar\w*|escribir\w*|molestar\w*)\b",
    r"^(?:por favor )?(?:ya )?(?:dejen?|dejenme|dejame|parale|parenle)(?: ya| por favor)?$",
    r"\bdejen? de (?:chingar|joder|fregar|molestar)\b",
    r"\bretir(?:e|en|a)(?:me|nos)?(?: de| mi)\b",
    r"\banul(?:e|en|ar|a)(?: mi| la)? ?(?:suscripcion)?$",
    r"^no (?:deseo|quiero) recibir\b|^no recibir\b",
    r"\b(?:me quiero salir|quiero salir(?:me)?|salirme)\b",
    r"\bno me busqu\w+\b",
)
# The commonest words of other languages, as they are written: the whole message.
ELSEWHERE = frozenset(
    {"стоп", "отписаться", "отписка", "не звоните мне", "停止", "退订", "退訂", "取消", "请停止", "止めて", "配信停止"}
    | {"중지", "그만", "수신거부", "dừng", "dừng lại", "hủy", "توقف", "إلغاء"}
)
REVOCATIONS_ELSEWHERE = (
    r"^(?:arret|arreter|arretez|desabonner|me desabonner|desinscription|abmelden|bitte abmelden|abmelden bitte|"
    r"abbestellen|"
    r"stop bitte|descadastrar|parem)$",
    r"\b(?:arret\w+|cessez) de m\w+|\bne (?:m|me )(?:appelez|ecrivez|contactez|textez) plus\b|\bne m\w+ plus\b",
    r"\bkeine (?:nachrichten|anrufe|mails|sms) mehr\b|\bnicht mehr (?:anrufen|schreiben|kontaktieren)\b",
    r"\bpare(?:m)? de (?:me )?(?:ligar|mandar|enviar)\b|\bnao me (?:ligue|mande|envie|contate)\w* mais\b",
)
SPANISH_WORDS = frozenset(
    {
        *("alto", "parar", "pare", "paren", "para", "basta", "cancelar", "cancela", "cancele", "cancelen"),
        *("detener", "detente", "detenganse", "baja", "revocar", "canselar", "cancelr"),
    }
)

# A time or another means: less than all contact may be meant.
ONLY_SOME = (
    rf"{UNTOLD}\b{NOT} (?:\w+ ){{1,3}}(?:before|after|until|till|today|tomorrow|tonight|this (?:week|morning|"
    rf"afternoon|evening)|"
    r"on (?:\w+days?|weekends?)|(?:in|at) the (?:morning|afternoon|evening|middle|day|office)|during|while|now|right "
    r"now|so (?:much|early|late|often)|and drive)\b",
    rf"{UNTOLD}\b{NOT} (?:\w+ ){{1,2}}at (?:work|night|home|my|\d)",
    rf"\b{NOT} (?:call|text|contact|message|e ?mail)(?: me)? (?:just |please )?(?:text|call|e ?mail)\b(?! or)",
    r"\b(?:text|call|e ?mail)(?: me)?(?: only)? (?:and |but )?(?:please )?(?:dont|do not) (?:call|text|e ?mail)(?: "
    r"me)?$",
    rf"\b{NOT} (?:call|text|contact) (?:my|the) (?:wife|husband|mother|mom|office|house|home|landline|work|job|boss|"
    rf"kids|son|daughter)",
    r"\bno me? ?(?:llam|escrib)\w+ (?:hoy|al trabajo|en la (?:manana|noche|tarde)|antes|despues|ahora|manana|los)\b|"
    r"\bno llam\w+ (?:hoy|antes|despues|ahora|manana)\b",
)
FOR_EVER = (
    r"\b(?:again|any ?more|ever|remove|delete|lose my|unsubscribe|optout|leave me alone|mas)\b|\bstop (?:text|call)"
)
# Doubt about a word that else would revoke: later, by mistake, denied, asked back, of others.
DOUBTED = (
    r"\b(?:can|could|may) (?:i|we) (?:\w+ )?(?:stop|optout|unsubscribe|cancel)\b.{0,30}\b(?:later|any ?time|"
    r"whenever)\b",
    r"\bwhat if\b|\bin case\b|\bif i (?:say|text|reply|send|want)\b",
    r"\b(?:didnt|did not|dont|do not|never) (?:mean|want|wish|need|intend|say|said|ask|asked)(?: \w+){0,2} (?:to )?"
    r"(?:say )?(?:unsubscribe|optout|stop|cancel)\b",
    r"\bnever (?:unsubscribe|optout)\b|\bdid i (?:\w+ )?(?:unsubscribe|optout)\b",
    r"^(?:unsubscribe|optout|stop|cancel|quit|end|revoke) (?:from |of )?(?:what|who|why)\b",
    r"\bsubscribe or unsubscribe\b|\bopt in or optout\b|\boptout (?:form|clause|option|period|policy|date|or opt)\b|"
    r"\bwith optout\b",
    r"\b(?:click|tap|go) here\b|\b(?:reply|text|txt|says?|type) stop to\b|^stop to\b|\bmsg data rates\b",
    r"\b(?:other \w+|they|he|she|scammers?|robocallers?|telemarketers?|everyone|ex|kids|people) (?:\w+ )?(?:wont|"
    r"will not|never|dont|doesnt) stop\b",
    r"\bnever asked (?:you|u) to stop\b",
    r"(?<!\byou )(?<!\bu )\b(?:dont|do not|never) (?:ever )?stop (?:text|call|send|messag|e ?mail)\w*",
    r"\bquiero cancelar la cita\b",
    r"\b(?:other|different) (?:company|companies|agency|guys)\b.{0,30}\bstop\b",
)
# What clearly means something else, taken out before the rest is looked at.
INNOCENT = (
    r"\b(?:at|by|until|till|before|toward|towards|around|near|through|maybe|sometime|do|works?|about|or|meet|its|and|"
    r"for|"
    r"since|hasta|after|from|work the|due|around the|is) (?:at )?(?:the |very )*end of (?!(?:the )?(?:road|line|"
    r"world|rope))(?:the |this |next |my |our )?\w+",
    r"\b(?:on|at) (?:my|our|the other|your|their) end\b|\bboth ends\b|\bodds and ends\b",
    r"\b(?:dead|front|back|rear|high|low|deep|west|east|south|north) end (?!of\b)(?:of )?\w+",
    r"\b(?:bus|truck|train|metro|tram|subway|rest|trolley) stops?\b(?! (?:text|call|it|now|please))",
    r"(?<=\w )(?:the|a|this|that|at|near|every) stop (?:sign|light)s?\b",
    r"\b(?:cant|couldnt|cannot|can not|could not) stop (?:thinking|smiling|laughing|crying|dreaming|talking|looking|"
    r"watching|eating|raving)\b",
    r"\b(?:ill|i will|i can|i could|we could|we can|well|we will|can you|could you|you can|you could|u can|free to|"
    r"come|going to|gonna|"
    r"i may|i might|we might|want to|to|and|id like to|should i|can i|let me|happy to) stop (?:by|in|over)\b",
    r"(?<=\w )quit (?:my|his|her|their|the|that|a) (?:\w+ )?(?:job|gym|work|position|company)\b",
    r"(?<=\w )quit (?:smoking|drinking|school|college|vaping|working|sugar|coffee|teaching|nursing)\b",
    r"\bquitting (?:my|his|her|the) (?:\w+ )?job\b",
    r"\b(?:had|have|having) to cancel (?:my|our|the) (?:gym|flight|trip|cable|netflix|vacation|card|credit card|"
    r"plans|hotel|cruise)\w*",
    r"\bun ?stop(?:pable)?\b",
    r"\b(?:my|her|his|their|our) (?:last |sur)?name is \w+",
    r"\bpalo alto\b|\bbaja california\b|\bcancelled my\b",
    r"\bend date of (?:the|your|this)\b|\bi end up\b|\bnever stops (?:raining|snowing)\b",
)
# May be a refusal of all contact, or is reason enough for a person to look.
MAYBE = (
    r"\b(?:not?|no longer|un|never|dont|aint|isnt|zero|nt) ?(?:at all |really |even |longer |very )?"
    r"(?:int[a-z]{0,4}e?r?r?est[a-z]*|intrested|intersted)\b",
    r"\bno (?:thanks?|thank you|thanx|thx|ty|tks|gracias)\b|\bno im (?:good|ok|fine)\b|\bnah\b|\bno no\b|^(?:please|"
    r"pls) no\b|^no please$",
    r"\bnot (?:for (?:me|us)|into (?:it|this))\b|\bhell no\b|\bno way\b|\babsolutely not\b|\brather not\b|\bmejor no\b",
    r"\b(?:ill|i will|we will|well|hard|going to|gonna|i) pass\b(?! (?:the|my|it|on the|your|along|by))",
    r"^(?:please |pls )?(?:dont|do not)(?: please)?$",
    r"\b(?:i|already|ive|have to) (?:already )?(?:said|told you|say|told u) no\b|\bno (?:means|is) no\b|\bthe last "
    r"time\b",
    r"\bchanged my mind\b|\bnever ?mind\b|\bforget (?:it|about|me)\b|^forget\b",
    r"\b(?:dont|do not|dnt) (?:want|need|wanna)\b(?: (?:it|this|that|any|anything|your?|talk|to (?:talk|speak)|what|"
    r"none)\b|$)",
    r"\bnothing to say\b|\bi want out\b|\blet me out\b|\bget out\b|\bout please\b",
    r"\b(?:give|gave) (?:up|it a rest)\b|\b(?:cut|knock|drop) it\b|\blay off\b|\bgive it a rest\b",
    r"\benough (?:already|is enough)\b|\bthats enough\b|\b(?:had|have had) enough\b|\bover it\b|\bfed up\b|\b(?:sick|"
    r"tired) of (?:this|these|you|the|your)\b",
    r"\bbye felicia\b|\bpeace out\b|\bgood ?bye\b|\bhold off\b",
    r"\b(?:we|were|im|i am|we are|are) (?:all )?done\b(?! (?:with (?:the|my|work)|at|by|working))|\bdone with (?:you|"
    r"this)\b|"
    r"\b(?:this|its|conversation) (?:conversation )?is over\b|^its over\b",
    r"\bi ?withdraw\b|\bplan to quit\b",
    r"\bblocked\b(?! (?:off|by|up|the))|\bblocking (?:you|this|your|u)\b|\b(?:will|gonna|going to|ill) block\b|"
    r"\bblock (?:you|this number|u)\b",
    r"\b(?:too many|so many|fewer|less) (?:texts|messages|calls|emails)\b|\b(?:text|call) (?:too|so) (?:much|"
    r"often)\b|\btext less\b",
    r"\b(?:you|u) (?:keep|kept) (?:call|text|messag|send)\w*|\bwhy (?:do|are|did|would|am) (?:you|u|i|yall) (?:\w+ )?"
    r"(?:keep|call|text|contact|getting|bother|messag|send|receiv)\w*",
    r"\bcall me every day\b|\bkeep getting (?:these|your|texts|calls)\b|\banother text\b",
    # Whatever joins a refusal to contact, in words that nobody foresaw.
    rf"{UNTOLD}\b(?:dont|do not|not|never|didnt|doesnt|refrain|avoid|rather|without|unless|less|only) "
    rf"(?!hesitate|forget|be afraid|mind|worry)"
    r"(?:(?!sure|looking|hesitate|got|get)\w+ ){0,3}(?:cal|call|text|tex|txt|contact|messag|e ?mail|reply|reach out|"
    r"number|list|solicit|disturb)\w*",
    r"\bwho (?:tf|the \w+) (?:is|are)\b|\bwasnt me\b|\bridiculous\b|\b(?:never|didnt) appl(?:y|ied)\b|\bmy "
    r"(?:attorney|lawyer) handles\b|\b(?:can|"
    r"could) (?:you|u) not (?:call|text|contact)\b|"
    r"\bnot (?:the )?(?:person|one) (?:you|u|youre)\b|\bnot my thing\b|\bhad it with\b|\brather (?:you|u) (?:didnt|"
    r"did not|not|dont)\b|\bwere good thanks\b|\bhow many times\b|\bwho told you\b|\bhow you got (?:my|this)\b|"
    r"\balready (?:text|call|messag|e ?mail)\w+ me\b|\bno (?:calls|texts|emails|messages)(?: (?:before|after|text "
    r"only|call only|on|at|during)\b|$)|\b(?:text|email|call)s? only\b|"
    r"\bgo f (?:yourself|off)\b|\b(?:mom|mother|dad|father|husband|wife|he|she) passed\b(?! (?:the|his|her|a)\b)|"
    r"\bnumero incorrecto\b|^wrong\b|\bnot inter\w+",
    # Somebody else's number, or nobody's any more.
    r"\bwrong (?:number|num|nmber|no|nbr|person|guy|house|contact|lady|phone|woman|man|one)\b|^wrong$|\bmistaken "
    r"identity\b|\bold number\b",
    r"\b(?:this|that) ?(?:is|isnt|s) (?:not|no longer) (?:[a-z]+|his|her)\b|\bthis isnt \w+|^thats not my\b",
    r"^(?:no )?(?:its |thats |this is )?not (?:me|john|him|her)$|\bi ?a?m not (?!sure|ready|home|available|working|"
    r"there|free|able|looking|feeling|certain|in|at|yet|here)\w+$|\bim not who\b",
    r"\b(?:nobody|no one|no \w+) here by (?:that|this) name\b|\bthere (?:is|s) no(?: one)? \w+ (?:by|here)\b|"
    r"\btheres no (?:one|\w+) (?:by|here)\b",
    r"\b(?:doesnt|does not) live here\b|\bno longer (?:has|lives|at|with us|her|his|works)\b|\bnumber belongs to\b|"
    r"\b(?:just got|got a new|new) (?:this )?number and keep\b|"
    r"\bjust got this number\b|\bnew phone who\b",
    r"\bdont know (?:you|who (?:youre|you|u|this)|any|a [a-z]+$|anyone)\b|\bdo i know you\b",
    r"\b(?:passed away|(?<!phone )(?<!battery )(?<!car )(?<!laptop )died|deceased|(?<!battery )(?<!phone )(?<!car "
    r")(?<!line )is dead|hes dead|shes dead|rip|widow|widower|funeral|fallecio|murio)\b",
    r"\bthis is a (?:business|work|hospital|landline|fax|home|company|private|school)\b|\b(?:private|unlisted) "
    r"number\b|\bis unlisted\b|"
    r"\b(?:minor|years old|daughters phone|sons phone)\b",
    # Threats and complaints.
    r"\breport(?:ing|ed)? (?:you|u|this|to the|as|junk|spam|your)\b|^report(?:ed|ing)?\b|\bblocked and reported\b|"
    r"\b(?:been|getting) reported\b",
    r"\b(?:fcc|ftc|tcpa|bbb)\b(?! building)|\bcomplaint\b|\battorney general\b|\b(?:violat\w+|illegal|against the "
    r"law|breaking the law|federal law|"
    r"my rights|lawsuit|class action|legal action|small claims)\b|\bper (?:text|violation|call)\b",
    r"\bsee you in court\b|\b(?:talk to|call\w*|contact\w*|from) (?:a|my) (?:lawyer|attorney)\b|\bhave a lawyer\b|"
    r"\bmy (?:lawyer|attorney) will\b",
    r"\b(?:to|will|ill|gonna|well|can) sue\b|\bsue (?:you|u|your)\b|\b(?:calling|call) the (?:police|cops)\b|"
    r"\bpolice report\b",
    r"\b(?:harass\w*|stalk\w*|scam\w*|spam\w*|fraud\w*|phishing|junk|unsolicited|unwanted|annoying|nuisance|pest)\b",
    r"\b(?:on|registered on|number is on|are on) (?:the |a )?(?:national )?(?:dnc|do not call|no call)\b|\bdo not "
    r"call (?:list|registry)\b|\bno call list\b|\bdnc\b",
    r"\b(?:never|didnt|did not|dont remember|dont recall) (?:sign(?:ed|ing)?|ask(?:ed)?|request(?:ed)?|g[ai]v(?:e|"
    r"ing)|consent(?:ed)?|opt(?:ed)?|agree(?:d)?|subscribe)"
    r"\b(?: (?:up|for|this|you|in|to|consent|permission|information|my)\b|$|ed)",
    r"\b(?:who (?:gave|sold)|(?:how|where|how d)(?:d| did| do)? (?:you|u|did you) (?:get|have|find)|howd u get|"
    r"bought|buy) (?:you )?(?:my|this) (?:number|info\w*|phone|permission)?",
    r"\bwho (?:gave|sold) you\b",
    # Anger.
    r"\b(?:bothering|bugging|annoying|pestering)(?: me|$| my)|\bbother (?:someone|somebody)\b|\bwast(?:e|ing) (?:of |"
    r"your |my )?time\b",
    r"\b(?:fuck\w*|fuk|f|f ck|screw) (?:you|u|off|this)\b|\bf+u+c*k\w*\b|\bgo to hell\b|\bdrop dead\b|^die$|\bbite "
    r"me\b|\beat (?:shit|a dick)\b|\bsuck (?:it|my)\b|"
    r"\bkiss my\b|\ba(?:ss)? ?hole\b|\bbastards?\b|\bbitch\w*\b|\bshit\w*\b|\bshut (?:up|the)\b|^(?:stfu|gtfo|kys)\b|"
    r"\bidiots?\b|\bwtf\b|\bwt[hf]\b|\bwhat the (?:hell|fuck)\b",
    r"\bkidding me\b|\byou people\b|\bagain(?: again)?$(?<=^again)|^(?:really )?(?: ?\. )?again$|\bnot again\b|\byou "
    r"again\b|^ugh\b|\bomg go\b|\bleave already\b|\bget a (?:real job|life)\b",
    r"\bbe quiet\b|\bquiet please\b|\bhow dare\b|\bshame on\b|\b(?:pick on|find|try) (?:somebody|someone|another)(?: "
    r"else| sucker)?\b|\bhate (?:you|this|these|your)\b|\boff my back\b|\bget fired\b",
    r"\bgreat another\b|\boh joy\b|\byay more\b|\bgee thanks\b|\banother robot\b|\bkeep texting\b|\bmore of these\b|"
    r"\bmore at \d?\s?am\b|\bwak(?:e|ing) me up\b|\bwoke (?:me|my)\b|"
    r"\bits \w* ?am$|\bwhat time it is\b|\bare you serious\b|\btext me more at\b",
    r"\bremove\b.{0,12}\b(?:app|something|what)\b|^removed?$",
    # In Spanish.
    r"\bno (?:me interesa|estoy interesad[oa]|tengo interes|quiero|gracias)\b|\bequivocad[oa]\b|\bse equivoco\b|\bno "
    r"soy\b|\baqui no vive\b|"
    r"\bconsiguio mi numero\b|\bquien le dio\b|\bestafa\w*\b|\breportar\b|\bdemandar\b|\bdenunciar\b|\bpolicia\b|"
    r"\babogado\b|\bacoso\b|\bmolestan?do\b|\bque molesto\b|"
    r"\bpinche\b|\bvete al\b|\bmierda\b|\bchinga\b|\bya no\b|\bno molestar\b|\bcancelo\b|\bcancele\b|\bcancelar\b|"
    r"\bparar\b",
)
# One word that may mean it when it is all that there is.
MAYBE_ALONE = frozenset(
    {
        *("off", "out", "exit", "leave", "go", "terminate", "finish", "finished", "halt", "enough", "bye"),
        *("goodbye", "delete", "erase", "block", "blocked", "mute", "ignore", "pause", "withdraw"),
        *("discontinue", "pass", "uninterested", "fin", "terminar", "salir", "suficiente", "quita", "opt"),
        *("nonstop", "cncl", "stp", "spam"),
    }
)
SIGNS_OF_REFUSAL = frozenset("🛑✋🤚🚫⛔📵❌🙅👎🖕🤬😡😠🤮🙄💀👋🔇🗑✖❎🚷🤐🔕")
