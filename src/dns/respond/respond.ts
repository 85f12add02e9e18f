import { type Answer, answer, type Held } from "../answer/answer.ts";
import type { Given } from "../answer/views.ts";
import type { AnswerEvent } from "../observe/hooks.ts";
import { RCODE } from "../wire/codes.ts";
import { decodeQuery } from "../wire/query.ts";
import type { Reply } from "../wire/reply.ts";
import { EDNS_UDP_BYTES } from "../wire/sizes.ts";
import { type Client, clientOf, type Lookup, type Request, sharerOf, viewNameOf } from "./client.ts";
import { failure, finish, isProven, limit } from "./finish.ts";
import type { Respond, RespondOptions } from "./options.ts";
import { follow, relay } from "./others.ts";

/** From packet to packet, whatever it travels by. */
export function responder(state: RespondOptions): Respond {
  return (packet, address, transport, { verdict = "answer", isLogged = false } = {}) => {
    const query = decodeQuery(packet);
    if (query === undefined) return undefined;
    const from = { address, transport, isLogged };
    const plain: Request = { query, client: { ...from, view: undefined } };
    const client = clientOf(state, query, from);
    try {
      if (client === undefined) return finish(state, plain, failure(RCODE.FORMERR), "refused");
      const request: Request = { query, client };
      if (verdict !== "answer" && !isProven(state, request)) return limit(state, request, verdict);
      const reply = answerTo(state, request);
      return reply instanceof Promise ? reply.catch((error: unknown) => fail(state, request, error)) : reply;
    } catch (error) {
      return fail(state, plain, error);
    }
  };
}

function answerTo(state: RespondOptions, request: Request): Buffer | Promise<Buffer> {
  const { query, client } = request;
  if (!state.isAllowed(client.address)) return finish(state, request, failure(RCODE.REFUSED), "refused");
  if (query.fault !== undefined) return finish(state, request, failure(query.fault), "refused");
  const probe = state.loops.recordFor(query.question);
  if (probe !== undefined) return finish(state, request, { ...failure(RCODE.NOERROR), answers: [probe] }, "refused");
  const found = lookUp(state, { query, client });
  const { name } = query.question;
  // What others are asked of a name is no demand for its service.
  if (found.kind !== "forward" && state.table()?.names.get(name) !== undefined)
    state.onAsked?.(name, viewNameOf(client), client.address);
  return found.kind === "held"
    ? answerHeld(state, { query, client }, found)
    : conclude(state, { query, client }, found);
}

function lookUp(state: RespondOptions, { query, client }: Lookup): Answer {
  const { view } = client;
  const table = state.table();
  if (table === undefined) return { kind: "reply", ...failure(RCODE.SERVFAIL) };
  return answer(query.question, table, {
    ...state.zones,
    forward: state.forward,
    ttlSeconds: state.ttlSeconds,
    tellsServices: state.tellsServices,
    nowMs: Date.now(),
    ...(view === undefined ? {} : { view, given: givenTo(client) }),
  });
}

/** The shortest: owner as a pointer, type, class, TTL, length and address (RFC 1035 §4.1.3). */
const A_RECORD_BYTES = 16;
/** More records than an answer by UDP has room for. */
const MOST_BY_UDP = Math.ceil(EDNS_UDP_BYTES / A_RECORD_BYTES);

function givenTo(client: Client): Given {
  return { client: sharerOf(client), most: client.transport === "tcp" ? Number.POSITIVE_INFINITY : MOST_BY_UDP };
}

function conclude(state: RespondOptions, request: Lookup, found: Exclude<Answer, Held>): Buffer | Promise<Buffer> {
  if (found.kind === "forward") return relay(state, request, found);
  if (found.kind === "chain") return follow(state, request, found);
  return finish(state, request, found, sourceOf(found));
}

async function answerHeld(state: RespondOptions, request: Lookup, first: Held): Promise<Buffer> {
  const { client } = request;
  if (first.wants !== undefined)
    state.onWanted?.({ service: first.wants, view: viewNameOf(client), client: client.address });
  const found = await state.hold.wait(first, () => lookUp(state, request), sharerOf(client));
  state.hooks.onHeld?.(found === undefined ? "failed" : "answered");
  if (found === undefined) return finish(state, request, failure(RCODE.SERVFAIL), "table");
  return conclude(state, request, found);
}

function fail(state: RespondOptions, request: Request, error: unknown): Buffer {
  state.log.warn({ error, name: request.query.question?.name }, "cannot answer a query");
  state.hooks.onException?.(error);
  return finish(state, request, failure(RCODE.SERVFAIL), "table");
}

function sourceOf({ rcode, authoritative }: Reply): AnswerEvent["source"] {
  return authoritative || rcode === RCODE.SERVFAIL ? "table" : "refused";
}
