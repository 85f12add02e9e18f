import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TYPE } from "../../../src/dns/wire/codes.ts";
import { ask, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { decode, query, record, wireName } from "../wire.ts";

/** The question's name as an upstream read it, in random case. */
function asked(packet: Buffer): string {
  return decode(upstreamAnswer(packet)).questions[0]?.name ?? assert.fail();
}

const srv = (owner: string, target: string) =>
  record(owner, TYPE.SRV, 1, 60, Buffer.concat([Buffer.from([0, 1, 0, 1, 0x1f, 0x90]), wireName(target)]));
const named = (owner: string, type: number, target: string) => record(owner, type, 1, 60, wireName(target));
const labels = (name: string) => name.split(".");

interface Case {
  readonly title: string;
  readonly question: string;
  readonly type?: number;
  /** What an upstream makes of the name as it was asked; names are written out in full. */
  readonly answers: (name: string) => readonly Buffer[];
  /** Owner and target of each record, as the client is to have them. */
  readonly want: readonly string[];
}

const cases: readonly Case[] = [
  {
    title: "owners get the client's case",
    question: "ORDERS.Corp.example.org",
    answers: (name) => [record(name, 1, 1, 60, Buffer.from([192, 0, 2, 1]))],
    want: ["ORDERS.Corp.example.org"],
  },
  {
    title: "targets get it as far as they repeat the question, and keep the rest",
    question: "DB.Service.Consul",
    type: TYPE.SRV,
    answers: (name) => [srv(name, `Node-1.node.dc1.${labels(name)[2]}`), srv(name, `AC10.addr.Dc1.${name}`)],
    want: ["DB.Service.Consul Node-1.node.dc1.Consul", "DB.Service.Consul AC10.addr.Dc1.DB.Service.Consul"],
  },
  {
    title: "a CNAME and what it leads to get it",
    question: "WWW.Example.ORG",
    answers: (name) => [
      named(name, TYPE.CNAME, `Lb.Eu.${labels(name).slice(1).join(".")}`),
      record(`Lb.Eu.${labels(name).slice(1).join(".")}`, 1, 1, 60, Buffer.from([192, 0, 2, 1])),
    ],
    want: ["WWW.Example.ORG Lb.Eu.Example.ORG", "Lb.Eu.Example.ORG"],
  },
  {
    title: "a target in another domain keeps its case",
    question: "WWW.Example.ORG",
    answers: (name) => [named(name, TYPE.CNAME, "CDN.Provider.example.net")],
    want: ["WWW.Example.ORG CDN.Provider.example.net"],
  },
];

/** Letters that an upstream moved are told by their case, which is random: with one small letter only every other time. */
const moved: Case = {
  title: "labels that were moved get it, too",
  question: "_Order-Service-Of-The-Shop._TCP.service.CONSUL",
  type: TYPE.SRV,
  answers: (name) => [srv(name, `${labels(name)[0]?.slice(1)}.service.dc1.${labels(name)[3]}`)],
  want: ["_Order-Service-Of-The-Shop._TCP.service.CONSUL Order-Service-Of-The-Shop.service.dc1.CONSUL"],
};

for (const { title, question, type = TYPE.A, answers, want } of [...cases, moved])
  test(`random case of our own question does not reach a client: ${title}`, async (t) => {
    const upstream = await startUpstream(t, (packet) => [upstreamAnswer(packet, { answers: answers(asked(packet)) })]);
    const forward = [{ address: upstream.address, port: upstream.port }];
    const { at } = await startServer(t, { forward });
    const told = async (name: string) =>
      decode(await ask(at, query(name, { type }))).answers.map((one) => {
        const target = type === TYPE.SRV ? nameIn(one.data.subarray(6)) : one.target;
        return [one.name, ...(target === undefined ? [] : [target])].join(" ");
      });
    assert.deepEqual(await told(question), want, "from the upstream");
    assert.deepEqual(await told(question), want, "from the cache");
    const lower = await told(question.toLowerCase());
    assert.deepEqual(
      lower.map((one) => one.toLowerCase()),
      want.map((one) => one.toLowerCase()),
    );
    assert.ok(lower.every((one) => one.startsWith(question.toLowerCase()) || title.includes("leads to")));
    assert.equal(upstream.seen.length, 1);
  });

/** A name that is written out in full. */
function nameIn(data: Buffer): string {
  return (
    decode(Buffer.concat([Buffer.from("000081000001000000000000", "hex"), data, Buffer.alloc(4)])).questions[0]?.name ??
    ""
  );
}

test("whatever case a client asks in, an answer differs from another client's in letters of the question only", async (t) => {
  const upstream = await startUpstream(t, (packet) => {
    const name = asked(packet);
    return [upstreamAnswer(packet, { answers: [srv(name, `n1.node.${name}`), srv(name, `n2.node.${name}`)] })];
  });
  const { at } = await startServer(t, { forward: [{ address: upstream.address, port: upstream.port }] });
  const mixed = fc
    .tuple(fc.constantFrom("abc.service.consul", "x-y.z.example.org"), fc.infiniteStream(fc.boolean()))
    .map(([name, upper]) => [...name].map((letter) => (upper.next().value ? letter.toUpperCase() : letter)).join(""));
  await fc.assert(
    fc.asyncProperty(mixed, async (name) => {
      const { answers } = decode(await ask(at, query(name, { type: TYPE.SRV })));
      assert.deepEqual(
        answers.map((one) => `${one.name} ${nameIn(one.data.subarray(6))}`),
        [`${name} n1.node.${name}`, `${name} n2.node.${name}`],
      );
    }),
    { numRuns: 100 },
  );
});
