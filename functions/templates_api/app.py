"""HTTP: templates, by the name that steps use. Everybody may read them and try them on a lead; managers write them."""

from leadline.api import IDEMPOTENCY_KEY, IF_MATCH, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.nurture import templates
from leadline.nurture.templates import NewTemplate, Preview, PreviewFor, Template, TemplateChange, TemplateQuery
from leadline.pages import Page

handler = Api()


@handler.route("POST /templates", roles=MANAGERS, body=NewTemplate, answers=Template, headers=IDEMPOTENCY_KEY)
def create(call: Call[NewTemplate, Nothing]) -> Answer:
    """Makes a template: 201, and 409 where its name is taken."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: _answer(templates.create(tx, call.body), 201))


@handler.route("GET /templates", roles=PEOPLE, query=TemplateQuery, answers=Page[Template])
def page(call: Call[Nothing, TemplateQuery]) -> Answer:
    """Templates, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(templates.page(tx, call.query))


@handler.route("GET /templates/{template_id}", roles=PEOPLE, answers=Template)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One template."""
    with tenant_transaction(call.caller) as tx:
        return _answer(templates.get(tx, _name(call)))


@handler.route(
    "PATCH /templates/{template_id}", roles=MANAGERS, body=TemplateChange, answers=Template, headers=IF_MATCH
)
def change(call: Call[TemplateChange, Nothing]) -> Answer:
    """Changes a template; what is sent from now on says the new."""
    with tenant_transaction(call.caller) as tx:
        return _answer(templates.change(tx, _name(call), call.body, call.version()))


@handler.route("POST /templates/{template_id}/preview", roles=PEOPLE, body=PreviewFor, answers=Preview)
def preview(call: Call[PreviewFor, Nothing]) -> Answer:
    """What would go out to a lead now, footers included, and its length."""
    with tenant_transaction(call.caller) as tx:
        return Answer(templates.preview(tx, _name(call), call.body))


def _name(call: Call[TemplateChange, Nothing] | Call[PreviewFor, Nothing] | Call[Nothing, Nothing]) -> str:
    return call.event["pathParameters"]["template_id"]


def _answer(template: Template, status: int = 200) -> Answer:
    return Answer(template, status, headers={"etag": template.etag})
