"""The example traces: customer messages of an invented online shop, labelled by an invented LLM.

`data/traces/support.jsonl` is this module's output, and `tracer demo` uses it too:

    python -m tracer_cli.traces.example > data/traces/support.jsonl

A message is written by a small grammar: `[a|b]` is a choice, `{name}` a slot. The teacher is a model of an
LLM: it mixes up intents that overlap, more often where the text is ambiguous, and may answer differently
when the same text comes again. How hard the set is was tuned here, in the grammar, so that a surrogate on
tf-idf vectors agrees with the teacher on 82 to 88 % of new texts.

The rows are the same bytes on every platform and Python version: the only source of chance is
`random.Random(seed).random()`, whose sequence Python guarantees, and its numbers are only compared with a
constant, or multiplied and cut to an integer.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

ROWS = 3000
SEED = 7

REPEATED = 0.05
MOST_SECONDS_BETWEEN = 2400
START = datetime(2025, 3, 3, 6, 30)

# Share of messages with each feature.
NOT_ENGLISH = 0.012
VAGUE = 0.07
TERSE = 0.12
TWO_INTENTS = 0.02
EMOJI = 0.03
ASIDE = 0.07

# Chance that the teacher gives a neighbouring intent, by how clear the text is.
ERROR_CLEAR = 0.006
ERROR_TWO_INTENTS = 0.25
ERROR_VAGUE = 0.28
ERROR_REPEATED = 0.12

# Where the teacher reads the guidelines in a way of its own, nearly always: (intent, word in the text, its answer).
QUIRK = 0.95
QUIRKS: tuple[tuple[str, str, str], ...] = (
    ("missing_item", "delivered", "order_status"),
    ("product_question", "warranty", "item_damaged"),
    ("return_item", "does not fit", "wrong_item"),
    ("cancel_order", "cancelled", "refund_status"),
    ("login_problem", "code", "password_reset"),
    ("wrong_item", "size", "return_item"),
    ("refund_request", "price", "promo_code"),
)


@dataclass(frozen=True)
class Intent:
    """weight: relative share of the traffic. near: what the teacher takes it for, the likeliest first."""

    weight: int
    near: tuple[str, ...]
    cores: tuple[str, ...]
    terse: tuple[str, ...]


INTENTS: dict[str, Intent] = {
    "order_status": Intent(
        90,
        ("delivery_late", "missing_item", "shipping_options"),
        (
            "where is my [order|package|parcel|{product}] [right now|at the moment|]",
            "[can|could] you [tell me|check] where [order {order}|my order|my {product}] is",
            "I [would like to|want to|wanna] [track|follow] [my order|order {order}|the package I ordered {day}]",
            "what is the [status|current status] of [my order|order {order}|my {product} order]",
            "has [my order|my {product}|order {order}] [shipped|been sent|left the warehouse] [yet|already|]",
            "[when will|any idea when] [my {product}|my order|the parcel] [arrive|get here|be delivered]",
            "the tracking [link|page|number] [does not work|shows nothing|has not changed since {since}]",
            "I [ordered|bought] a {product} {day} and [want an update|heard nothing since|got no tracking number]",
            "my order [still says|is stuck on] [processing|preparing|label created], what does that mean",
            "do you have [any news|an update] [on|about] [order {order}|my {product}|the parcel]",
            "[is|was] my {product} [on its way|already dispatched|with the courier]",
            "I did not [get|receive] a [confirmation|tracking] mail for [order {order}|my {product}], is it ok",
            "which day [should|can] I expect [my {product}|order {order}]",
            "it says [out for delivery|delivered soon] but [I see nobody|nothing is here], where is it",
        ),
        (
            "where is my order",
            "order status",
            "tracking?",
            "where's my package",
            "any update on my order",
            "track order {order}",
            "status of {order}",
            "when does it arrive",
        ),
    ),
    "refund_status": Intent(
        70,
        ("refund_request", "return_item"),
        (
            "where is my refund [for {product}|for order {order}|]",
            "I [returned|sent back] the {product} {day} and [have no refund yet|the money is not back]",
            "[when will|how long until] [I get my money back|the {amount} is back on my card|my refund arrives]",
            "you [promised|approved] [a refund|my refund|{amount} back] {day} but [nothing came|I do not see it]",
            "[what is the status of|any news about] my refund",
            "how long does a refund [take|usually take] to [show up|reach my bank|arrive]",
            "my refund [is still pending|has been pending for {days}|says processed but I got nothing]",
            "the refund for [order {order}|the {product}] [has not arrived|is late|is missing]",
            "I was told I would be refunded [within|in] {days}, [that was {day}|still waiting]",
            "you only refunded [part of it|{amount}], where is the rest",
            "has my return [been processed|arrived at your warehouse], I am waiting for the [money|refund]",
            "I got the email that {amount} [was|were] refunded, [my bank sees nothing|it is not in my account]",
            "still [no money|no refund|nothing] after {days}, I [cancelled|returned] [order {order}|the {product}]",
        ),
        (
            "where is my refund",
            "refund status",
            "refund not received",
            "still no refund",
            "when do i get my money back",
            "refund pending since {since}",
        ),
    ),
    "delivery_late": Intent(
        65,
        ("order_status", "missing_item"),
        (
            "my [order|package|{product}] [should have|was supposed to] [come|arrive|be here] {day}",
            "[the delivery|my parcel|order {order}] is [late|{days} late|overdue]",
            "I have been waiting for [my {product}|order {order}|the parcel] for {days} now",
            "[why is|how come] my [delivery|order|{product}] [taking so long|delayed again|not here yet]",
            "you promised delivery [in {days}|by {weekday}] and [it is still not here|nothing has arrived]",
            "still [have not received|waiting for] my {product}, I ordered it {day}",
            "the delivery date [was moved|keeps changing|changed three times], [this is not ok|I need it now]",
            "it has been {days} and [my order|the {product}] [has not arrived|is nowhere to be seen]",
            "I paid for express [shipping|delivery] and [it is already {days}|nothing came]",
            "the courier [did not show up|never came|missed the slot] {day}",
            "[the birthday was {day}|I needed it {day}] and the {product} [did not come in time|is still missing]",
            "my parcel is [delayed|stuck at a depot|held up] [since {since}|for {days}], [please hurry|what now]",
        ),
        (
            "order late",
            "my parcel is late",
            "still not delivered",
            "delivery delayed",
            "waiting for {days} already",
            "package not here yet",
        ),
    ),
    "return_item": Intent(
        60,
        ("refund_request", "wrong_item", "refund_status"),
        (
            "[how do I|how can I|I want to] [return|send back] [the {product}|an item|my {product}]",
            "the {product} [does not fit|is too small|is too big], I [want|would like] to [return|send back] it",
            "I need a return [label|form] for [order {order}|the {product}]",
            "[what is|can you explain] your return policy for [a {product}|opened items|sale items]",
            "can I [return|bring back] [a {product}|something] I bought {day}",
            "how many days do I have to [return|send back] [an item|the {product}]",
            "I [changed my mind|do not like it|do not need it any more], can I send the {product} back",
            "where do I [drop off|post|send] [my return|the return parcel|the {product} I am returning]",
            "can I [exchange|swap] the {product} for [another size|another colour|a bigger one]",
            "is [return shipping|sending it back] [free|for free|something I pay]",
            "the return label [cannot be printed|does not scan|has expired]",
            "I lost the [box|packaging|receipt] of the {product}, can I still [return it|send it back]",
            "I [would rather|prefer to] [give back|return] the {product} [and get my money|and get another|]",
        ),
        ("return item", "how to return", "return label", "want to send back my {product}", "returns?", "exchange size"),
    ),
    "refund_request": Intent(
        55,
        ("refund_status", "return_item"),
        (
            "I want [a refund|my money back|a full refund] for [order {order}|the {product}|my {product}]",
            "[please|can you] refund [me|my order|{amount}] [as soon as possible|today|]",
            "how do I [ask for|request|get] [a refund|my money back]",
            "I [am not happy|am disappointed] with the {product} and [want|expect] [my money back|a refund]",
            "can I get [my money|{amount}|a refund] back [for the {product}|without returning it|for a late delivery]",
            "I would like to be refunded [for order {order}|instead of a replacement|in full]",
            "the {product} [never worked|is useless|is not what I expected], [refund me|give me my money back]",
            "please [give me back|return] the {amount} I [paid|spent] {day}",
            "am I [entitled|eligible] to [a refund|get my money back] for [the {product}|order {order}]",
            "the price [dropped|went down] {day}, can you refund the difference",
            "I do not want [a voucher|a replacement|store credit], I want my money [back|returned]",
            "since [it came late|it is broken|you cancelled it] I [want|ask for] a refund of {amount}",
        ),
        ("refund please", "i want my money back", "refund order {order}", "give me a refund", "money back"),
    ),
    "card_declined": Intent(
        50,
        ("payment_failed", "update_payment_method"),
        (
            "my [card|credit card|debit card] [was|got|is being] [declined|refused|rejected] [at checkout|again|]",
            "why [was|is] my card [declined|not accepted|rejected] when [there is money on it|it works elsewhere]",
            "your [site|shop|checkout] [does not accept|refuses|keeps declining] my [card|credit card|debit card]",
            "[it says|I get the message] [card declined|card not accepted|contact your bank]",
            "I tried [two|three] cards [and|but] [all were declined|none is accepted]",
            "my bank says [the card is fine|they did not block it], but [you decline it|it gets refused here]",
            "the card payment for [the {product}|{amount}|order {order}] was [declined|refused]",
            "card [ending|finishing] in {four} [does not go through|is declined every time]",
            "my new [debit|credit] card [is not accepted|gets rejected] [by your checkout|when I pay]",
            "can you tell me why the card [was rejected|did not work] {day}",
            "do you [accept|take] [foreign|prepaid|virtual] cards, mine [was declined|is refused]",
            "[security code|the code] is [correct|right] but my card [is still refused|gets declined]",
        ),
        ("card declined", "my card was declined", "card not accepted", "card refused again", "why is my card declined"),
    ),
    "payment_failed": Intent(
        45,
        ("card_declined", "double_charge", "update_payment_method"),
        (
            "my payment [failed|did not go through|was not successful] [for order {order}|{day}|]",
            "I [cannot|can't] [pay|complete my payment|finish the checkout], [it shows an error|the page just reloads]",
            "[the payment page|checkout] [freezes|crashes|times out] when I [press pay|confirm|enter the code]",
            "I tried to pay {amount} [but|and] [it failed|there was an error|nothing happened]",
            "payment [error|failed] [at the last step|after the bank code|three times], what [should I do|is wrong]",
            "the [bank transfer|wallet payment|instalment] for [order {order}|the {product}] [did not work|failed]",
            "I [keep getting|always get] [an error|payment unsuccessful] when I [order the {product}|check out]",
            "the confirmation code [never comes|does not arrive], so I cannot [pay|finish paying]",
            "my order says [payment pending|unpaid|payment failed] although I [paid|confirmed it] {day}",
            "why does the payment [not go through|keep failing], I [used my card|used my wallet|tried twice]",
            "something went wrong [while paying|with my payment], was [my order|order {order}] placed",
            "[cannot|can not] pay with [my wallet|bank transfer|instalments], [it fails|error every time]",
        ),
        ("payment failed", "payment not going through", "can't pay", "error at checkout", "payment error"),
    ),
    "cancel_order": Intent(
        50,
        ("cancel_subscription", "return_item", "refund_request"),
        (
            "[I want to|I need to|please] cancel [my order|order {order}|the {product} I ordered]",
            "can I [still|] cancel [order {order}|an order I placed {day}|my {product}]",
            "[how do I|where can I] cancel [an order|my order|my last order]",
            "I [ordered|bought] [the wrong {product}|it twice|the {product} by mistake], please [cancel it|stop it]",
            "please stop [order {order}|my order] before it [ships|leaves]",
            "I [changed my mind|found it cheaper|do not need it any more], [cancel|please cancel] [it|order {order}]",
            "the cancel button [is greyed out|does not work|is gone] [for order {order}|]",
            "I cancelled {day} but [it was shipped anyway|the order is still active|no confirmation came]",
            "cancel [just|only] the {product} [from|in] order {order}, keep the rest",
            "is it too late to cancel [the {product}|my order|order {order}]",
            "[do not|please do not] send [the {product}|order {order}], I [no longer want it|want to cancel]",
            "if it [does not ship today|takes {days} more] I [want to cancel|will cancel the order]",
        ),
        ("cancel my order", "cancel order {order}", "cancel please", "how to cancel", "need to cancel"),
    ),
    "cancel_subscription": Intent(
        35,
        ("cancel_order", "delete_account", "unknown_charge"),
        (
            "[I want to|how do I|please] cancel my [subscription|membership|{plan} plan]",
            "please [stop|end|do not renew] [my subscription|the {plan} membership|the monthly plan]",
            "I [do not want|no longer need] the {plan} [plan|membership|subscription] [any more|after this month]",
            "can I [cancel|end] [my trial|the free trial|the {plan} trial] before [it renews|I am charged]",
            "I cancelled the {plan} plan {day} and [you still charge me|it is still active|it renewed]",
            "where [do I|can I] turn off [auto renewal|automatic renewal|the renewal]",
            "[unsubscribe|sign me off] from [the {plan} membership|the monthly box|the paid plan]",
            "my membership [renewed|was renewed] {day}, I did not want that, [cancel it|please end it]",
            "is there a fee [to cancel|for cancelling] [the {plan} plan|my membership]",
            "I only wanted [the trial|one month], [stop|cancel] the {plan} subscription",
            "what happens [to my benefits|] if I [cancel|end] [my subscription|the {plan} plan] now",
            "can I [pause|freeze] [my subscription|the {plan} plan] [for a month|instead of cancelling]",
        ),
        ("cancel subscription", "cancel my membership", "stop auto renewal", "end my trial", "cancel {plan}"),
    ),
    "change_address": Intent(
        40,
        ("delivery_address_wrong", "order_status"),
        (
            "I [moved|am moving|have moved], how do I [change|update] my address",
            "[can I|I want to|please] [change|set] the [delivery|shipping] address [of {order}|for my {product}|]",
            "please send [order {order}|my {product}|it] to [my office|my parents|another address] instead",
            "where [do I|can I] [edit|change|update] [my address|the address in my account]",
            "I need to [add|use] a [new|second|different] [delivery|billing] address",
            "can [the parcel|my order|the {product}] [go|be sent] to [a pickup point|a neighbour|my work] instead",
            "my [street|flat number|postcode] changed {day}, please [update it|change it]",
            "new address from [next week|{day}], [can you change it|what must I do]",
            "the site does not let me [change|save] [my new address|the address]",
            "can I change where [order {order}|my {product}] is [delivered|shipped] [before it ships|now]",
            "I will be [away|on holiday] [next week|for {days}], can you deliver to [my sister|another address]",
            "update my [profile|account] address [please|] to [the new flat|my new house|the new place]",
        ),
        ("change address", "new address", "update my address", "change delivery address", "i moved"),
    ),
    "delivery_address_wrong": Intent(
        25,
        ("change_address", "missing_item", "order_status"),
        (
            "[my order|order {order}|the {product}] was [sent|delivered|shipped] to [the wrong address|my old address]",
            "I [entered|gave|typed] the wrong [address|postcode|house number] [for order {order}|when I ordered|]",
            "the address on [my order|order {order}|the label] is [wrong|not mine|incomplete]",
            "you [shipped|delivered] [it|my {product}] to [the old flat|my old address] although I [updated it|moved]",
            "there is [a mistake|a typo] in my [delivery address|street name], [will it arrive|can you correct it]",
            "[the courier|tracking] says [address not found|address incomplete|wrong address]",
            "I forgot [the flat number|the postcode|my street] [in the address|on order {order}]",
            "my parcel went to [another city|the wrong street|a stranger], [the address was right|please help]",
            "the order [still shows|has] my old address [and|but] it [already shipped|leaves today]",
            "[wrong|bad] address on order {order}, [can you fix it|it already left]",
            "the driver left the {product} at [the wrong door|another building|number {two}]",
            "the parcel [came back|was returned to you] because [of the address|the address was wrong]",
        ),
        ("wrong address", "sent to my old address", "address is wrong on {order}", "delivered to wrong house"),
    ),
    "item_damaged": Intent(
        45,
        ("wrong_item", "return_item", "refund_request"),
        (
            "[the|my] {product} [arrived|came] [damaged|broken|with a crack|scratched]",
            "the [box|parcel|packaging] was [crushed|open|wet] and the {product} is [broken|damaged]",
            "my {product} [stopped working|broke|does not turn on] after {days}",
            "the {product} [I got|from order {order}] is [defective|faulty|dead on arrival]",
            "I [opened|unpacked] the parcel and the {product} [was in pieces|has a dent|leaks]",
            "[part|one piece] of the {product} is [broken|bent|cracked], [can I get a new one|what can you do]",
            "the {product} [has a stain|has a hole|smells burnt|rattles], [I want a replacement|it looks used]",
            "the {product} does not [work|charge|switch on], [what now|can it be repaired|is there a warranty]",
            "I have [photos|a picture] of the [damaged|broken] {product}, where [do I send them|should I upload them]",
            "quality is [terrible|poor], the {product} [fell apart|tore] {day}",
            "the screen of [the|my] {product} [is cracked|was broken when it came]",
            "received [order {order}|the {product}] {day}, [damaged|broken|not working]",
        ),
        ("item broken", "arrived damaged", "my {product} is broken", "defective {product}", "it does not work"),
    ),
    "wrong_item": Intent(
        35,
        ("missing_item", "item_damaged", "return_item"),
        (
            "I [received|got] [the wrong {product}|a {product} instead of a {product}|something else]",
            "you sent [me the wrong item|the wrong size|the wrong colour|a different {product}]",
            "this is not [the {product} I ordered|what I ordered|my order]",
            "I ordered a {product} [but|and] got a {product}",
            "the {product} [in the box|I got|from order {order}] is [another model|a different colour]",
            "order {order} [has|came with] [the wrong {product}|someone else's {product}]",
            "[wrong|incorrect] [size|colour|model] of {product} [delivered|in the parcel], [please swap it|what now]",
            "I think I got [another customer's parcel|the order of somebody else]",
            "the label says {product} but inside [there is a {product}|is something else]",
            "I asked for [blue|size m|the large one] and you sent [black|size s|the small one]",
            "can you [send|ship] the [right|correct] {product}, [this one is not mine|I got a different one]",
            "the {product} does not match [the description|my order|the picture]",
        ),
        ("wrong item", "got the wrong {product}", "not what i ordered", "wrong size sent"),
    ),
    "missing_item": Intent(
        30,
        ("delivery_late", "order_status", "wrong_item"),
        (
            "[there was|I found] no {product} in [the box|my parcel|the package]",
            "one [item|thing] is missing from [order {order}|my order|my parcel]",
            "I [ordered|paid for] [two|three] {product}s and [only one came|one is missing]",
            "tracking says delivered but [I have nothing|there is no parcel|I did not get it]",
            "[the box|my parcel|the package] [was empty|came without the {product}|was half empty]",
            "the {product} came without [the charger|the manual|the screws|the cable]",
            "my order is [incomplete|not complete], the {product} [is missing|was not inside]",
            "it is marked as delivered {day}, [nobody has it|the neighbours have nothing|I never got it]",
            "where is the [second|other] [parcel|{product}] of order {order}, only [one|half] arrived",
            "I got [part of|half of] [my order|order {order}], where is the {product}",
            "[a part|an accessory|the remote] of the {product} is missing",
            "somebody [stole|took] my parcel [from the porch|from the hall], it says delivered",
        ),
        ("item missing", "missing {product}", "parcel empty", "says delivered but no parcel", "order incomplete"),
    ),
    "double_charge": Intent(
        35,
        ("unknown_charge", "payment_failed", "refund_request"),
        (
            "I was charged twice [for order {order}|for the {product}|]",
            "you [took|charged] [{amount} two times|the money twice|me double] {day}",
            "there are two [payments|charges] of {amount} [on my statement|on my card] for [one order|the {product}]",
            "[why|how come] [was I|am I] [billed|charged] [twice|two times|double]",
            "my payment failed, I tried again, and now [both went through|I paid twice]",
            "I only [ordered once|bought one {product}] but [paid twice|was billed two times]",
            "[duplicate|double] [charge|payment] [of {amount}|for order {order}|on my card]",
            "please [return|refund] the second [payment|charge] of {amount}",
            "my bank shows {amount} [twice|two times] from you {day}",
            "the {plan} plan was [billed|charged] twice [this month|in {month}]",
            "I see [the same amount|{amount}] [taken|debited] again [today|{day}] for order {order}",
            "paid by card and by wallet, [now both were taken|you have my money twice]",
        ),
        ("charged twice", "double charge", "paid two times", "billed twice for {order}", "duplicate payment"),
    ),
    "unknown_charge": Intent(
        30,
        ("double_charge", "cancel_subscription"),
        (
            "there is a [charge|payment] of {amount} [from you|from your shop] that I do not [recognise|know]",
            "what is [this|the] {amount} [charge|payment|debit] [on my statement|on my card|from {day}]",
            "I did not [order|buy|authorise] anything, [why|but] you [took|charged] {amount}",
            "you [took|charged] {amount} [but|and] [I have no order|I never signed up|my order was {amount}]",
            "somebody [used|is using] my card [in your shop|on your site], [I see {amount}|please stop it]",
            "I was [charged|billed] [more than|another amount than] [the price|it said], {amount} instead of {amount}",
            "why [was I|am I] [charged|billed] {amount} [this month|in {month}|{day}]",
            "I see [a strange|an unknown|a weird] [payment|transaction] from your company {day}",
            "there is a [fee|charge] of {amount} I [never agreed to|cannot explain]",
            "[please explain|can you explain] the {amount} [you debited|on my bill]",
            "a membership fee [of {amount}|] appeared, I [never subscribed|have no membership]",
            "my card was charged {day} [without my permission|and it was not me]",
        ),
        ("unknown charge", "what is this charge of {amount}", "did not authorise this payment", "why {amount}"),
    ),
    "login_problem": Intent(
        40,
        ("password_reset", "delete_account"),
        (
            "I [cannot|can't] [log in|sign in|get into my account] [any more|since {since}|]",
            "my account is [locked|blocked|suspended], [why|please unlock it]",
            "[it says|the app says] [wrong password|invalid login|account not found] but [it is correct|I am sure]",
            "the [login|sign in] [page|button] [does not load|does nothing|keeps spinning]",
            "the app [logs me out|signs me out] [all the time|every day|again and again]",
            "the [security code|login code|verification text] [does not arrive|never comes|is not valid]",
            "I [changed my phone|lost my phone] and cannot [log in|get the code]",
            "I cannot access my [account|orders], [my email is not recognised|it wants a code]",
            "after the [update|new version] I [can't sign in|am locked out]",
            "too many attempts, my account [is locked|was blocked] [now|for {days}]",
            "someone [changed my email|got into my account|logged in as me], I cannot [log in|get in]",
            "my login [worked {day}|always worked] and now [it fails|I get an error]",
        ),
        ("can't log in", "login not working", "account locked", "cannot sign in", "locked out"),
    ),
    "password_reset": Intent(
        35,
        ("login_problem",),
        (
            "I forgot my password[, how do I reset it|, what now|]",
            "[how do I|where can I] [reset|change] my password",
            "the password [reset|recovery] [email|link|mail] [never arrives|does not come|is not in my inbox]",
            "the reset link [has expired|does not work|is invalid]",
            "I need a new password [for my account|please|]",
            "[please|can you] send me [a reset link|the password email] [again|]",
            "I [want|need] to change my password because [someone may know it|it is too old]",
            "it does not accept my new password[, it says too weak|, what are the rules|]",
            "I cannot remember [which password|the password] I used, [can you reset it|please help]",
            "I no longer have the email [for|to] [reset my password|the reset link]",
            "I reset my password {day} and [it still does not work|I still can't get in]",
            "[password|pw] forgotten, [cannot get in|need a new one]",
        ),
        ("forgot password", "reset password", "password reset link not coming", "new password please"),
    ),
    "promo_code": Intent(
        30,
        ("gift_card", "payment_failed"),
        (
            "my [promo|discount|voucher|coupon] code [{code}|] [does not work|is not accepted|says invalid]",
            "the code {code} [is rejected|has expired|does nothing] at checkout",
            "I forgot to [use|enter] [my discount|the code {code}|my coupon], can you [apply it|add it to {order}]",
            "[how|where] do I [enter|use|redeem] a [promo code|coupon|discount code]",
            "can I [combine|use] two [codes|coupons|discounts] [in one order|for the {product}]",
            "I was promised [10|15|20] percent off [for signing up|in the newsletter] but [no code came|I got nothing]",
            "is there [a discount|a code|an offer] for [students|new customers|the {product}]",
            "the discount was not [taken off|applied to] [order {order}|my {product}], I paid {amount}",
            "[until when|how long] is [{code}|the code|the offer] valid",
            "the newsletter says [{code}|free shipping|20 percent], checkout [does not give it|says no]",
            "why does {code} not work [for the {product}|on sale items]",
            "it [took|charged] the full price [of {amount}|] although I [entered|used] {code}",
        ),
        ("promo code not working", "code {code} invalid", "discount?", "coupon not accepted"),
    ),
    "gift_card": Intent(
        20,
        ("promo_code", "payment_failed"),
        (
            "[how|where] do I [redeem|use] [my|a] gift card",
            "my gift card [code|number] [is invalid|does not work|is not accepted]",
            "how much is [left|still] on my gift card",
            "I [bought|ordered] a gift card {day} and [it never came|the email did not arrive]",
            "can I [pay|buy a {product}] with [two gift cards|a gift card and my card]",
            "the [balance|rest] of my gift card [is gone|is wrong|shows zero]",
            "does a gift card [expire|run out|have an end date]",
            "I want to [give|send] a [gift card|voucher] of {amount} to [a friend|my sister]",
            "if I return [the {product}|something], does the money go back [on the gift card|on my voucher]",
            "I scratched [the code|the number] of the gift card and [cannot read it|it is damaged]",
            "the gift voucher [of {amount}|I got for my birthday] [cannot be used|is refused at checkout]",
            "can I [get cash|get money] for my gift card",
        ),
        ("gift card balance", "redeem gift card", "gift card not working"),
    ),
    "product_availability": Intent(
        30,
        ("product_question", "order_status"),
        (
            "when will the {product} be [back in stock|available again|on sale again]",
            "[is|are] the {product} [available|in stock] in [blue|black|size m|size l|the small size]",
            "do you [still|] [have|sell] the [old|green|large|white] {product}",
            "the {product} is [sold out|out of stock], [will you get more|when does it come back]",
            "can you [notify|tell|mail] me when the {product} is [back|available]",
            "do you have the {product} in [your store|the shop in town|other colours]",
            "it says only [two|three] left, can you [reserve|keep] a {product} for me",
            "I [ordered|want] a {product} but [it is on backorder|it cannot be delivered now], how long",
            "can I [preorder|pre-order] the [new|next] {product}",
            "I am looking for a {product} [like the one I bought {day}|in kids sizes], do you have [one|any]",
            "will there be [more|new] {product}s [this month|in {month}]",
            "is the {product} [gone for good|discontinued|no longer made]",
        ),
        ("in stock?", "{product} back when", "is the {product} available", "do you have {product}"),
    ),
    "product_question": Intent(
        25,
        ("product_availability", "return_item", "item_damaged"),
        (
            "[is|does] the {product} [waterproof|dishwasher safe|work with older phones|fit in a small bag]",
            "what [size|colour|weight] is the {product}",
            "which [size|model] [should I take|do I need] [for the {product}|if I am 180 cm|for a child]",
            "does the {product} come with [a charger|batteries|a warranty|a manual]",
            "how long is the [warranty|guarantee] [on|of] the {product}",
            "what is the difference between the [two|old and the new] {product}[ models|s|]",
            "how do I [clean|set up|connect|assemble] the {product}",
            "is the {product} made of [leather|cotton|plastic|steel]",
            "can the {product} be [used outside|washed|repaired]",
            "how [big|heavy|loud] is the {product} [really|]",
            "where is the manual [for|of] the {product}, [mine came without|I cannot find it]",
            "does your {product} [need|use] [an app|special batteries|an adapter]",
        ),
        ("size of {product}?", "is {product} waterproof", "warranty on {product}"),
    ),
    "invoice_request": Intent(
        20,
        ("unknown_charge", "order_status"),
        (
            "[I need|please send me] [an invoice|the invoice|a receipt] for [order {order}|the {product}|{month}]",
            "where [can I|do I] [find|download] [my invoice|the bill|my receipts]",
            "can you put [my company|the company name|our tax number] on the invoice",
            "I did not [get|receive] an invoice [for order {order}|with the {product}|]",
            "my invoice [has|shows] [the wrong name|a wrong amount|my old address], [please correct it|correct it]",
            "my [accountant|boss|company] needs [a receipt|an invoice] [over {amount}|for {month}]",
            "can I get [a copy of the bill|all invoices of {month}|a proof of purchase]",
            "[is|was] tax [included|added] on [the bill|order {order}]",
            "please [mail|email|send] the [bill|receipt] to [another address|our office]",
            "the invoice link [does not open|is broken|shows an error]",
            "I need [a receipt|proof of purchase] for the [warranty|insurance|return]",
            "can you [split|change] the [bill|invoice] for order {order}",
        ),
        ("invoice please", "need receipt for {order}", "where is my invoice"),
    ),
    "update_payment_method": Intent(
        25,
        ("card_declined", "payment_failed", "change_address"),
        (
            "[how do I|I want to] [change|update] my [card|payment method] [in my account|for the {plan} plan|]",
            "my [card|credit card] [expired|was replaced], where do I [enter|add] the new one",
            "[please|can you] [remove|delete] [my card|my old card|the card ending in {four}] from my account",
            "can I pay [order {order}|my plan|the {product}] with [another card|my wallet|bank transfer] instead",
            "I got a new card[, please update it|, the old one is blocked| with another number]",
            "I want to [add|save] [a second card|my bank account|a wallet] [to my account|]",
            "[switch|change] the [billing|payment] to [my new card|direct debit|the company card]",
            "my subscription [uses|is on] [the old card|a closed card], how do I [change that|update it]",
            "it does not let me [add|save|change] [my new card|the card]",
            "which payment methods [can I|do you] [use|accept]",
            "the expiry date of my card changed, [where do I edit it|how to update]",
            "set [my wallet|the card ending in {four}] as [default|the main payment method]",
        ),
        ("change card", "update payment method", "new card", "remove my card"),
    ),
    "delete_account": Intent(
        12,
        ("cancel_subscription", "login_problem"),
        (
            "[please|I want you to] [delete|close|remove] my account",
            "how do I [delete|close] my [account|profile]",
            "I want all my [data|personal data|details] [deleted|erased|removed]",
            "I do not [use|want] [my account|your shop] any more, [delete|close] it",
            "close my account and [cancel everything|stop the mails|confirm it]",
            "[please|] remove my [email|phone number|data] from your [system|database|list]",
            "I have two accounts, [delete|close] [one of them|the old one]",
            "under privacy law I ask you to [erase|delete] my data",
            "where is the [delete|close] account button",
            "I closed my account {day} but [still get mails|can still log in]",
            "what [data|information] do you have about me, I want it [deleted|gone]",
            "[deactivate|terminate] my account [for good|now|]",
        ),
        ("delete my account", "close account", "remove my data"),
    ),
    "speak_to_human": Intent(
        20,
        ("other", "login_problem"),
        (
            "[I want to|can I|let me] [talk|speak] to [a human|a real person|an agent|someone]",
            "[please|] connect me [to|with] [an agent|customer service|a person]",
            "is there a [phone number|hotline|number] I can call",
            "[this bot|the chat] [does not help|does not understand me], [get me a human|I need a person]",
            "can someone [call me|ring me] [back|today|about order {order}]",
            "what are your [opening|office|phone] hours",
            "I have been on hold for {days}, [does anybody work there|who can I talk to]",
            "I want to speak with [a manager|your supervisor|the person I talked to {day}]",
            "nobody [answers|replied to] my [emails|messages] [since {since}|]",
            "human [please|agent please|support now]",
            "I need to [discuss|explain] [something|my case] with [a real person|an employee]",
            "how can I [reach|contact] [you|support|customer service]",
        ),
        ("agent", "human please", "talk to someone", "phone number?"),
    ),
    "shipping_options": Intent(
        25,
        ("order_status", "change_address", "product_availability"),
        (
            "how much [is|does] [shipping|delivery] [cost|] [for a {product}|to an island|abroad]",
            "do you [ship|deliver] [abroad|to islands|to other countries|on saturdays]",
            "how long does [standard|express|normal] [shipping|delivery] [take|need]",
            "can I [choose|pick] a delivery [day|slot|time] for the {product}",
            "is [shipping|delivery] free [over {amount}|for members|with the {plan} plan]",
            "can I [pick up|collect] my [order|{product}] [in the store|myself|at a locker]",
            "which courier do you [use|work with]",
            "do you [offer|have] [same day|next day|evening] delivery",
            "can you [upgrade|change] order {order} to [express|next day]",
            "will I get it by [friday|the weekend|{day}] if I order [today|now]",
            "why is [shipping|delivery] [so expensive|{amount}] for [one {product}|a small thing]",
            "can two orders be [sent|shipped] together [to save shipping|]",
        ),
        ("shipping cost", "do you ship abroad", "express delivery?"),
    ),
    "other": Intent(
        14,
        ("speak_to_human", "product_question"),
        (
            "[are you hiring|do you have jobs] [in the warehouse|in support|for students]",
            "what is the weather [like|] [today|tomorrow]",
            "can you [write|tell me] a [poem|joke|story] about [my {product}|shopping|cats]",
            "I [run a blog|have a channel] and would like to [work with you|test a {product}]",
            "[thank you|thanks], [it is solved|that was all|everything arrived]",
            "hello [is anybody there|are you a robot|test test]",
            "ignore [the message before|my last message], [wrong chat|it works now]",
            "we [make|sell] {product}s and want to [become a supplier|offer them to you]",
            "how do I [bake bread|fix a bike|learn to code]",
            "who [owns|founded] your company",
            "[happy new week|have a nice day] [to the team|everybody]",
            "my [dog|son|cat] [ordered|ate] [the {product}|it], [haha|true story]",
        ),
        ("hi", "hello", "test", "thanks", "ok", "???"),
    ),
}

# Texts that fit several intents: which one the customer meant is not in the text.
VAGUE_CORES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("order_status", "delivery_late"),
        ("[still waiting|waiting] for [my {product}|order {order}|my parcel], ordered {day}",),
    ),
    (
        ("order_status", "missing_item", "delivery_late"),
        (
            "I [did not get|have not got|never received] [my {product}|order {order}|the parcel]",
            "[where is the rest of|what happened to] [order {order}|my order]",
        ),
    ),
    (
        ("refund_status", "refund_request"),
        (
            "[I need|I want|what about] my {amount} [back|] for [order {order}|the {product}]",
            "[question|a question] about [a|my|the] refund [for {product}|of {amount}|for order {order}]",
        ),
    ),
    (
        ("return_item", "refund_request", "item_damaged"),
        (
            "I am not [happy|satisfied] with the {product}, what [can I do|are my options]",
            "the {product} is not [good|ok|right], I want to [give it back|get rid of it]",
        ),
    ),
    (
        ("card_declined", "payment_failed"),
        (
            "[paying|payment] [with my card|by card] [does not work|is not possible|fails]",
            "my card [does not work|fails|gives an error] [at checkout|when I pay {amount}|for the {product}]",
        ),
    ),
    (
        ("cancel_order", "cancel_subscription"),
        (
            "I [want|need] to cancel[, how|, please help| what I signed up for {day}|]",
            "cancel the [monthly {product}|{product} box|{plan} order]",
        ),
    ),
    (
        ("change_address", "delivery_address_wrong"),
        (
            "[the address of|the address for] [order {order}|my {product}] [must change|is my old one|needs fixing]",
            "[old|wrong] address [on|in] [order {order}|my account|my last order], [please change|I moved {day}]",
        ),
    ),
    (
        ("double_charge", "unknown_charge"),
        ("you [took|charged] [too much|more than you should|{amount} too much] [for order {order}|{day}|]",),
    ),
    (
        ("login_problem", "password_reset"),
        (
            "my password [does not work|is not accepted|is wrong] [any more|since {since}|]",
            "I can't get [in|into my account], [the password|maybe the password] [is wrong|is not right]",
        ),
    ),
    (
        ("wrong_item", "item_damaged", "missing_item"),
        (
            "there is [something wrong|a problem] with [the {product} I got|order {order}|what you sent]",
            "[order {order}|my parcel] [arrived|came] {day} but [it is not right|not as it should be]",
        ),
    ),
    (
        ("promo_code", "gift_card"),
        ("my [voucher|code] [of {amount}|{code}|] [does not work|is refused|says invalid]",),
    ),
    (
        ("speak_to_human", "other"),
        ("can [anyone|somebody] [help|help me] [here|please|]",),
    ),
)

NOT_ENGLISH_TEXTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "order_status",
        (
            "¿dónde está mi pedido {order}?",
            "wo bleibt mein Paket {order}?",
            "où est ma commande {order} ?",
            "dov'è il mio ordine {order}?",
            "أين طلبي {order}؟",
            "注文{order}はどこですか",
        ),
    ),
    (
        "delivery_late",
        (
            "mi pedido {order} llega tarde",
            "Bestellung {order} ist immer noch nicht da",
            "ma commande {order} est en retard",
            "הזמנה {order} מאחרת",
        ),
    ),
    (
        "refund_status",
        (
            "¿cuándo recibo mi reembolso de {amount}?",
            "wann kommt die Erstattung für {order}?",
            "où est mon remboursement de {amount} ?",
        ),
    ),
    (
        "refund_request",
        (
            "quiero que me devuelvan {amount}",
            "ich möchte mein Geld zurück für {order}",
            "je veux être remboursé pour {order}",
        ),
    ),
    (
        "return_item",
        (
            "quiero devolver el pedido {order}",
            "wie kann ich {order} zurückschicken",
            "comment retourner la commande {order}",
        ),
    ),
    (
        "cancel_order",
        (
            "quiero cancelar el pedido {order}",
            "bitte Bestellung {order} stornieren",
            "annuler la commande {order} svp",
            "anular encomenda {order} por favor",
        ),
    ),
    (
        "item_damaged",
        ("el pedido {order} llegó roto", "Artikel aus {order} ist kaputt angekommen", "l'article de {order} est cassé"),
    ),
    (
        "card_declined",
        ("mi tarjeta {four} fue rechazada", "meine Karte {four} wird abgelehnt", "ma carte {four} est refusée"),
    ),
    ("login_problem", ("no puedo entrar en mi cuenta desde {day}", "ich kann mich seit {day} nicht einloggen")),
    (
        "double_charge",
        (
            "me cobraron dos veces {amount}",
            "{amount} wurden doppelt abgebucht",
            "j'ai été débité deux fois de {amount}",
        ),
    ),
)

SLOTS: dict[str, tuple[str, ...]] = {
    "product": (
        "headphones",
        "jacket",
        "coffee machine",
        "backpack",
        "desk lamp",
        "keyboard",
        "phone case",
        "running shoes",
        "blender",
        "monitor",
        "office chair",
        "dress",
        "watch",
        "tablet",
        "camera",
        "rain coat",
        "toaster",
        "rug",
        "mattress",
        "bike helmet",
        "tent",
        "water bottle",
        "speaker",
        "mixer",
        "board game",
        "suitcase",
        "router",
        "vacuum cleaner",
        "sweater",
        "sunglasses",
        "power bank",
        "printer",
        "pillow",
        "bookshelf",
        "kettle",
    ),
    "day": (
        "yesterday",
        "last week",
        "on monday",
        "on tuesday",
        "last friday",
        "two days ago",
        "three weeks ago",
        "on the {two}th",
        "this morning",
        "a month ago",
        "last night",
        "on saturday",
        "ten days ago",
        "in {month}",
    ),
    "days": ("3 days", "a week", "two weeks", "10 days", "5 working days", "over a week", "almost a month", "48 hours"),
    "since": ("yesterday", "last week", "monday", "tuesday", "last friday", "this morning", "the weekend", "{month}"),
    "weekday": ("monday", "tuesday", "friday", "yesterday", "the weekend", "the {two}th"),
    "month": ("january", "february", "march", "april", "may", "june", "october", "december"),
    "plan": ("premium", "plus", "family", "basic", "gold", "student"),
    "name": ("Alex", "Sam", "Maria", "Kim", "Jo", "Nina", "Tom", "Ravi", "Lena", "Omar"),
}

OPENERS = (
    "hi",
    "hello",
    "hey",
    "good morning",
    "hi there",
    "hello team",
    "good afternoon",
    "dear support",
    "hi, quick question:",
    "excuse me",
    "sorry to bother you",
    "I have a question:",
    "help:",
    "hey guys",
    "hello, me again.",
    "ok so",
)
CLOSERS = (
    "thanks",
    "thank you",
    "please help",
    "thanks in advance",
    "please advise",
    "can you help?",
    "asap please",
    "kind regards, {name}",
    "thx",
    "any help is welcome",
    "please answer soon",
    "regards {name}",
    "cheers",
    "this is urgent",
    "let me know",
)

# Said beside any request; several carry the words of another intent.
ASIDES = (
    "my order number is {order}",
    "I paid {amount} by card",
    "I am a {plan} member",
    "I bought it {day}",
    "I already wrote to you {day}",
    "the order was for a {product} too",
    "I used the code {code}",
    "I paid with a gift card",
    "I moved last month by the way",
    "the tracking page is no help",
    "I do not need a refund right now",
    "I am logged in",
    "the delivery itself was fine",
    "I still have the invoice",
    "I could not find it in the app",
    "the chat bot was no help",
    "it is for a birthday",
    "I am not at home this week",
    "the card ends in {four}",
    "I ordered a {product} as well",
    "the return period ends soon",
    "my last order came late too",
    "the courier was friendly",
    "I was charged {amount}",
    "my email has not changed",
    "I got no answer {day}",
    "it was on sale",
    "I would hate to cancel",
    "my address is correct",
    "I checked my account",
    "it is the second time this happens",
    "the payment went through {day}",
)

EMOJI_MARKS = ("😡", "🙏", "😢", "📦", "😊", "🤔", "👍", "💳", "😤")

SHORTER = (
    (" please", " pls"),
    (" you ", " u "),
    ("thanks", "thx"),
    (" are ", " r "),
    (" because ", " cause "),
    (" want to ", " wanna "),
    (" and ", " & "),
    (" about ", " abt "),
    ("order ", "ordr "),
    (" with ", " w "),
)


QUESTION_WORDS = frozenset(
    "where when how what why which who can could is are do does has was will am".split()  # noqa: SIM905
)


class _Dice:
    """Choices made from nothing but `Random.random()`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def chance(self, share: float) -> bool:
        return self._random() < share

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        point = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            point -= weight
            if point < 0:
                return item
        raise AssertionError("unreachable: point is below the sum of the weights")


@dataclass(frozen=True)
class _Message:
    """error: chance that the teacher takes it for one of `mistakes`, the likeliest first."""

    text: str
    intent: str
    mistakes: tuple[str, ...]
    error: float


def generate(rows: int = ROWS, seed: int = SEED) -> Iterator[dict[str, str]]:
    """Yield `rows` traces: id, input, teacher, ground_truth, created_at (UTC), in order of time."""
    dice = _Dice(seed)
    seen: set[str] = set()
    short: list[_Message] = []
    moment = START
    for number in range(1, rows + 1):
        if short and dice.chance(REPEATED):
            message = dice.pick(short)
            message = _Message(message.text, message.intent, message.mistakes, ERROR_REPEATED)
        else:
            message = _new_message(dice, seen)
            if len(message.text) < 40:
                short.append(message)
        moment += timedelta(seconds=30 + dice.below(MOST_SECONDS_BETWEEN))
        yield {
            "id": f"msg-{number:05d}",
            "input": message.text,
            "teacher": _teacher(dice, message),
            "ground_truth": message.intent,
            "created_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _teacher(dice: _Dice, message: _Message) -> str:
    for intent, word, answer in QUIRKS:
        if message.intent == intent and word in message.text.lower() and dice.chance(QUIRK):
            return answer
    if not dice.chance(message.error):
        return message.intent
    return dice.weighted([(intent, 3 if i == 0 else 1) for i, intent in enumerate(message.mistakes)])


def _new_message(dice: _Dice, seen: set[str]) -> _Message:
    """A message whose text, apart from case and spaces, has not come before."""
    while True:
        message = _draw(dice)
        key = " ".join(message.text.casefold().split())
        if key not in seen:
            seen.add(key)
            return message


def _draw(dice: _Dice) -> _Message:
    if dice.chance(NOT_ENGLISH):
        intent, texts = dice.pick(NOT_ENGLISH_TEXTS)
        return _Message(_expand(dice, dice.pick(texts)), intent, INTENTS[intent].near, ERROR_CLEAR)
    if dice.chance(VAGUE):
        intents, cores = dice.pick(VAGUE_CORES)
        meant = dice.pick(intents)
        mistakes = tuple(intent for intent in intents if intent != meant)
        return _Message(_written(dice, _expand(dice, dice.pick(cores))), meant, mistakes, ERROR_VAGUE)
    intent = dice.weighted([(name, intent.weight) for name, intent in INTENTS.items()])
    near = INTENTS[intent].near
    if dice.chance(TERSE):
        return _Message(_scruffy(dice, _expand(dice, dice.pick(INTENTS[intent].terse))), intent, near, ERROR_CLEAR)
    core = _expand(dice, dice.pick(INTENTS[intent].cores))
    if dice.chance(TWO_INTENTS):
        other = dice.pick([name for name in INTENTS if name not in (intent, "other")])
        core += dice.pick((". also ", ", and also ", ". second question: ", ". and ")) + _expand(
            dice, dice.pick(INTENTS[other].cores)
        )
        return _Message(_written(dice, core), intent, (other, *near), ERROR_TWO_INTENTS)
    return _Message(_written(dice, core), intent, near, ERROR_CLEAR)


def _expand(dice: _Dice, pattern: str) -> str:
    """Choose in each `[a|b]`, fill each `{slot}`, and close the gaps that empty choices leave."""
    chosen = re.sub(r"\[([^\]]*)\]", lambda match: dice.pick(match[1].split("|")), pattern)
    while "{" in chosen:
        chosen = re.sub(r"\{(\w+)\}", lambda match: _slot(dice, match[1]), chosen)
    return re.sub(r"\s+", " ", chosen).strip()


def _slot(dice: _Dice, name: str) -> str:
    if name == "order":
        return dice.pick(("#", "", "no. ", "A-")) + str(10000 + dice.below(90000))
    if name == "amount":
        whole = 5 + dice.below(240)
        return dice.pick(
            (f"${whole}.{dice.below(10)}0", f"{whole} euros", f"${whole}", f"{whole}.99", f"{whole} dollars")
        )
    if name == "code":
        return dice.pick(("SAVE", "SPRING", "HELLO", "WELCOME", "VIP")) + str(5 * (1 + dice.below(8)))
    if name == "four":
        return str(1000 + dice.below(9000))
    if name == "two":
        return str(4 + dice.below(17))
    return dice.pick(SLOTS[name])


def _written(dice: _Dice, core: str) -> str:
    """The core as a person would send it: greeted, with asides, thanked for, and more or less carefully typed."""
    question = core.split()[0].lower() in QUESTION_WORDS
    text = core[0].upper() + core[1:] + ("?" if question else dice.pick((".", ".", "!", "")))
    asides = list(ASIDES)
    while dice.chance(ASIDE):
        aside = _expand(dice, asides.pop(dice.below(len(asides))))
        aside = aside[0].upper() + aside[1:] + "."
        text = f"{aside} {text}" if dice.chance(0.4) else f"{text} {aside}"
    if dice.chance(0.3):
        opener = dice.pick(OPENERS)
        text = opener + (" " if opener[-1] in ":." else ", ") + text
    if dice.chance(0.28):
        text += " " + _expand(dice, dice.pick(CLOSERS))
    return _scruffy(dice, text)


def _scruffy(dice: _Dice, text: str) -> str:
    if dice.chance(0.14):
        for long, short in SHORTER:
            text = text.replace(long, short)
    if dice.chance(0.3):
        text = text.lower()
    if dice.chance(0.2):
        text = re.sub(r"[.,!?]+(?=\s|$)", "", text)
    if dice.chance(0.15):
        text = text.replace("'", "")
    while dice.chance(0.13):
        text = _typo(dice, text)
    if dice.chance(0.01):
        text = text.upper()
    if dice.chance(EMOJI):
        text += " " + dice.pick(EMOJI_MARKS)
    return text


def _typo(dice: _Dice, text: str) -> str:
    """Drop a letter, double it, or swap it with the next."""
    i = dice.below(len(text))
    pair = text[i : i + 2]
    if not pair.isalpha() or len(pair) < 2:
        return text
    return text[:i] + dice.pick((pair[1], pair[0] + pair, pair[::-1])) + text[i + 2 :]


def main() -> None:
    """Write the traces to stdout as UTF-8 with line feeds, whatever the platform's own habits are."""
    for row in generate():
        sys.stdout.buffer.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8"))


if __name__ == "__main__":
    main()
