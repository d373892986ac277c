"""The stand-ins of this release."""

from __future__ import annotations

from services.simulator.evolution import Evolution
from services.simulator.mail_push import MailPush
from services.simulator.mailgun import Mailgun
from services.simulator.meta import Meta
from services.simulator.oauth import Google, Microsoft
from services.simulator.postmark import Postmark
from services.simulator.sendgrid import Sendgrid
from services.simulator.sns import Sns
from services.simulator.stand_in import StandIn
from services.simulator.telegram import Telegram
from services.simulator.waha import Waha
from services.simulator.webchat import Webchat, WebchatServer
from services.simulator.zapi import Zapi

STAND_INS: tuple[type[StandIn], ...] = (
    Meta,
    Telegram,
    Evolution,
    Waha,
    Zapi,
    Mailgun,
    Sendgrid,
    Postmark,
    Sns,
    Google,
    Microsoft,
    MailPush,
    Webchat,
    WebchatServer,
)
