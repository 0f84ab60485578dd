"""HTTP: sequences. Everybody may read them, managers write them."""

from datetime import UTC, datetime

from leadline.api import IDEMPOTENCY_KEY, IF_MATCH, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.nurture import sequences
from leadline.nurture.sequences import NewSequence, Sequence, SequenceChange, Version
from leadline.pages import Page, PageQuery

handler = Api()


@handler.route("POST /sequences", roles=MANAGERS, body=NewSequence, answers=Sequence, headers=IDEMPOTENCY_KEY)
def create(call: Call[NewSequence, Nothing]) -> Answer:
    """Makes a sequence: 201. It runs only while it is active."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: _answer(sequences.create(tx, call.body), 201))


@handler.route("GET /sequences", roles=PEOPLE, query=PageQuery, answers=Page[Sequence])
def page(call: Call[Nothing, PageQuery]) -> Answer:
    """Sequences, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(sequences.page(tx, call.query))


@handler.route("GET /sequences/{sequence_id}", roles=PEOPLE, answers=Sequence)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One sequence."""
    with tenant_transaction(call.caller) as tx:
        return _answer(sequences.get(tx, call.id("sequence_id")))


@handler.route(
    "PATCH /sequences/{sequence_id}", roles=MANAGERS, body=SequenceChange, answers=Sequence, headers=IF_MATCH
)
def change(call: Call[SequenceChange, Nothing]) -> Answer:
    """Changes a sequence; `active` starts and stops it. Whoever sends other steps names the version he has read."""
    version = call.version() if "steps" in call.body.model_fields_set else None
    with tenant_transaction(call.caller) as tx:
        return _answer(sequences.change(tx, call.id("sequence_id"), call.body, version, datetime.now(UTC)))


@handler.route("GET /sequences/{sequence_id}/versions", roles=PEOPLE, query=PageQuery, answers=Page[Version])
def versions(call: Call[Nothing, PageQuery]) -> Answer:
    """The steps as they were at each version, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(sequences.versions(tx, call.id("sequence_id"), call.query))


def _answer(sequence: Sequence, status: int = 200) -> Answer:
    return Answer(sequence, status, headers={"etag": sequence.etag})
