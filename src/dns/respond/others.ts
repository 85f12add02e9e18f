import type { Chain, Elsewhere } from "../answer/answer.ts";
import type { Found } from "../forward/resolver.ts";
import { askedFor, askedOf } from "../forward/upstream-query.ts";
import { RCODE, TYPE } from "../wire/codes.ts";
import { addressesIn } from "../wire/foreign.ts";
import { withoutAlias } from "../wire/without-alias.ts";
import { type Lookup, sharerOf } from "./client.ts";
import { failure, finish, passOn } from "./finish.ts";
import type { RespondOptions } from "./options.ts";

/** What others say of a question: from memory at once, else from upstreams later. */
export function relay(options: RespondOptions, request: Lookup, { to, isKnown }: Elsewhere): Buffer | Promise<Buffer> {
  const { resolver } = options;
  const { packet, questionEnd, edns } = request.query;
  const asked = askedOf(packet, questionEnd, edns?.dnssecOk ?? false);
  const known = resolver.find(asked.key);
  const told = (found: Found) => (isKnown === true ? ofKnownName(found) : found);
  if (known !== undefined) return passOn(options, request, told(known), "cache");
  return resolver
    .ask(asked, to, sharerOf(request.client))
    .then((found) => passOn(options, request, told(found), "forward"));
}

/** What others say of a type of a name that has addresses here: whoever keeps the answer must not deny those, or look for them elsewhere. */
function ofKnownName(found: Found): Found {
  const { answer } = found;
  return answer === undefined ? found : { ...found, answer: withoutAlias(answer) };
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
