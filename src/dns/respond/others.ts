import type { Chain } from "../answer/answer.ts";
import type { Found } from "../forward/resolver.ts";
import type { Upstream } from "../forward/upstream.ts";
import { askedFor, askedOf } from "../forward/upstream-query.ts";
import { RCODE, TYPE } from "../wire/codes.ts";
import { addressesIn } from "../wire/foreign.ts";
import { type Lookup, sharerOf } from "./client.ts";
import { failure, finish, passOn } from "./finish.ts";
import type { RespondOptions } from "./options.ts";

/** What others say of a question: from memory at once, else from upstreams later. */
export function relay(
  options: RespondOptions,
  request: Lookup,
  upstreams: readonly Upstream[],
): Buffer | Promise<Buffer> {
  const { resolver } = options;
  const { packet, questionEnd, edns } = request.query;
  const asked = askedOf(packet, questionEnd, edns?.dnssecOk ?? false);
  const known = resolver.find(asked.key);
  if (known !== undefined) return passOn(options, request, known, "cache");
  return resolver
    .ask(asked, upstreams, sharerOf(request.client))
    .then((found) => passOn(options, request, found, "forward"));
}

/** Our CNAMEs, with the addresses that others have for their target; the code is theirs (RFC 6604 §3). */
export function follow(options: RespondOptions, request: Lookup, chain: Chain): Buffer | Promise<Buffer> {
  const { resolver } = options;
  const asked = askedFor(chain.target, request.query.question.type);
  const known = asked === undefined ? undefined : resolver.find(asked.key);
  if (asked === undefined || known !== undefined) return finishChain(options, request, chain, known);
  return resolver
    .ask(asked, chain.to, sharerOf(request.client))
    .then((found) => finishChain(options, request, chain, found));
}

function finishChain(options: RespondOptions, request: Lookup, chain: Chain, found: Found | undefined): Buffer {
  const { type } = request.query.question;
  if (found?.answer === undefined) return finish(options, request, failure(RCODE.SERVFAIL), "forward");
  const family = type === TYPE.A ? ("A" as const) : ("AAAA" as const);
  const addresses = addressesIn(found.answer, type, found);
  const records = addresses.map((one) => ({ name: chain.target, type: family, ...one }));
  const answers = [...chain.answers, ...records];
  const reply = { rcode: found.answer.rcode, authoritative: true, answers, authority: [] };
  return finish(options, request, reply, "table");
}
