import type { Found } from "../forward/resolver.ts";
import type { AnswerEvent } from "../observe/hooks.ts";
import { answeredSubnet } from "../wire/client-subnet.ts";
import { OPTION, RCODE, rcodeName, typeName } from "../wire/codes.ts";
import { type EdnsOptions, encodeForeign, encodeReply, type Reply, truncated } from "../wire/reply.ts";
import { EDNS_UDP_BYTES, MAX_UDP_BYTES } from "../wire/sizes.ts";
import { type Request, viewNameOf } from "./client.ts";
import type { RespondOptions, Verdict } from "./options.ts";

type Source = AnswerEvent["source"];

/** A reply without records. */
export function failure(rcode: number): Reply {
  return { rcode, authoritative: false, answers: [], authority: [] };
}

/** A reply of ours as a message, counted. */
export function finish(options: RespondOptions, request: Request, reply: Reply, source: Source): Buffer {
  const { recursionAvailable } = options;
  const edns = ednsOptions(options, request, reply.authoritative);
  const maxBytes = maxBytesOf(request);
  const message = encodeReply(request.query, reply, { maxBytes, recursionAvailable, edns });
  count(options, request, reply.rcode, source, message.length);
  return message;
}

/** What others said as a message, counted; SERVFAIL if they said nothing. */
export function passOn(options: RespondOptions, request: Request, found: Found, source: Source): Buffer {
  const { answer, ageSeconds, staleTtlSeconds } = found;
  const from = staleTtlSeconds === undefined ? source : "stale";
  if (answer === undefined) return finish(options, request, failure(RCODE.SERVFAIL), from);
  const message = encodeForeign(request.query, answer, {
    ageSeconds,
    staleTtlSeconds,
    recursionAvailable: options.recursionAvailable,
    maxBytes: maxBytesOf(request),
    edns: ednsOptions(options, request, false),
  });
  count(options, request, answer.rcode, from, message.length);
  return message;
}

/** What a client over the rate limit gets, counted. */
export function limit(options: RespondOptions, request: Request, verdict: Verdict): Buffer | undefined {
  const message = verdict === "drop" ? undefined : truncated(request.query);
  count(options, request, RCODE.NOERROR, message === undefined ? "dropped" : "limited", message?.length ?? 0);
  return message;
}

/** Whether the client has shown that it receives our answers (RFC 7873 §1). */
export function isProven({ cookies }: RespondOptions, { query: { edns }, client }: Request): boolean {
  return client.transport === "tcp" || (edns?.cookie !== undefined && cookies.isValid(edns.cookie, client.address));
}

/**
 * What the client can take, up to what no network fragments (RFC 9715 §3.1). Only allowed clients get records; what addresses of theirs that
 * are forged can cause is bounded by the rate limit.
 */
function maxBytesOf({ query, client }: Request): number {
  if (client.transport === "tcp") return 0xffff;
  return Math.min(Math.max(query.edns?.udpBytes ?? 0, MAX_UDP_BYTES), EDNS_UDP_BYTES);
}

function ednsOptions({ nsid, cookies }: RespondOptions, request: Request, dependsOnClient: boolean): EdnsOptions {
  const { edns } = request.query;
  const { address, subnet } = request.client;
  return {
    ...(subnet === undefined ? {} : { [OPTION.CLIENT_SUBNET]: answeredSubnet(subnet, dependsOnClient) }),
    ...(edns?.wantsNsid && nsid !== undefined ? { [OPTION.NSID]: Buffer.from(nsid) } : {}),
    ...(edns?.cookie === undefined ? {} : { [OPTION.COOKIE]: cookies.renew(edns.cookie, address) }),
  };
}

function count({ hooks }: RespondOptions, request: Request, rcode: number, source: Source, bytes: number): void {
  const { question } = request.query;
  const { transport, address, isLogged } = request.client;
  const type = typeName(question?.type);
  const event = { transport, rcode: rcodeName(rcode), type, source, view: viewNameOf(request.client) };
  hooks.onAnswer?.(event);
  if (isLogged) hooks.onQuery?.({ ...event, client: address, name: question?.name ?? "", bytes });
}
