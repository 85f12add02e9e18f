import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { securityRow } from "../security/row.ts";
import { until } from "../servers/kube-admin.ts";
import { ready, startReplica } from "./cli.ts";
import { dnsQuery } from "./dns.ts";
import { fixture, hostOf, httpService } from "./fixture.ts";

const FLOOD = 1000;
const STRANGER = "127.0.0.66";
const KUBELET = "127.0.0.10";
const OTHER = "127.0.0.11";
const services = Array.from({ length: 500 }, (_, at) => httpService(`orders-${at}`, `198.51.100.${at % 250}`));

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly bytes: number;
  readonly tookMs: number;
}

/** One request on a connection of its own, as a kubelet asks. */
async function get(port: number, path: string, from: string, headers: Record<string, string> = {}): Promise<Answer> {
  const startedMs = performance.now();
  const sent = request({ host: "127.0.0.1", port, path, localAddress: from, headers, agent: false }).end();
  const [answer] = await once(sent, "response");
  const { length } = Buffer.concat(await answer.toArray());
  const etag = answer.headers.etag as string | undefined;
  return { status: answer.statusCode as number, etag, bytes: length, tookMs: performance.now() - startedMs };
}

/** Keep 1,000 connections open that send `text`, until the test ends: who loses one opens the next. */
async function flood(t: TestContext, port: number, text: string, reads: boolean) {
  const open = new Set<Socket>();
  let opened = 0;
  let isOver = false;
  const all = Promise.withResolvers<void>();
  const again = () => {
    if (isOver) return;
    const socket = connect({ port, host: "127.0.0.1", localAddress: STRANGER });
    open.add(socket);
    socket.once("connect", () => {
      opened++;
      if (opened === FLOOD) all.resolve();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      open.delete(socket);
      setTimeout(again, 250);
    });
    if (reads) socket.resume();
    else socket.pause();
    if (text !== "") socket.write(text);
  };
  for (let at = 0; at < FLOOD; at++) again();
  const end = () => {
    isOver = true;
    for (const socket of open) socket.destroy();
  };
  t.after(end);
  await all.promise;
  return { end, opened: () => opened };
}

async function rssMiB(pid: number): Promise<number> {
  const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kib) / 1024);
}

const line = (path: string, ...headers: readonly string[]) =>
  `${[`GET ${path} HTTP/1.1`, "host: localhost", ...headers].join("\r\n")}\r\n\r\n`;

test(securityRow({
  who: "HTTP client",
  attack: "keeps 1,000 connections open that are idle, wait, send slowly, or do not read what they ask for",
  outcome: "probes, other clients and those who wait for names are answered as before, and memory is bounded",
}), { skip: process.platform !== "linux" && "only Linux has all of 127.0.0.0/8" }, async (t) => {
  const place = await fixture(t, services, { target: { kind: "directory", path: "out" }, aliases: [] });
  const replica = startReplica(t, place);
  await ready(replica);
  const { http: port } = place.ports;
  const first = hostOf(services[0] ?? httpService(""));
  const { etag = "", bytes } = await get(port, "/api/names", OTHER);
  assert.ok(bytes > 100_000, `the names have ${bytes} bytes`);
  const calm = await rssMiB(replica.pid);

  const floods: Readonly<Record<string, { readonly text: string; readonly reads?: false }>> = {
    idle: { text: "" },
    waiting: { text: line("/api/names?wait=25", `if-none-match: ${etag}`) },
    slow: { text: "GET /healthz HTTP/1.1\r\nx-slow: " },
    greedy: { text: line("/api/services"), reads: false },
  };
  for (const [name, { text, reads = true }] of Object.entries(floods)) {
    const poll = get(port, "/api/names?wait=5", OTHER, { "if-none-match": etag });
    const { end, opened } = await flood(t, port, text, reads);
    const probes: Answer[] = [];
    const others: Answer[] = [];
    let most = 0;
    for (let round = 0; round < 20; round++) {
      for (const path of ["/healthz", "/readyz"]) probes.push(await get(port, path, KUBELET));
      others.push(await get(port, "/api/names", OTHER));
      assert.equal((await dnsQuery(place.ports.dns, first)).addresses.length, 1);
      most = Math.max(most, await rssMiB(replica.pid));
    }
    for (const { status } of [...probes, ...others]) assert.equal(status, 200);
    // Those who share its address compete with it, but get in as well.
    const isIn = async () => (await get(port, "/healthz", STRANGER).catch(() => undefined))?.status === 200;
    await until("a probe of the same address gets in", isIn);
    assert.equal((await poll).status, 304, "whoever waits for names goes on waiting");
    end();
    const times = probes.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    const ms = (part: number) => Math.round(times[Math.floor((times.length - 1) * part)] ?? 0);
    const slowest = Math.round(Math.max(...others.map(({ tookMs }) => tookMs)));
    t.diagnostic(
      `${name}: probes took ${ms(0.5)} ms (median), ${ms(1)} ms (longest of ${times.length}), names ${slowest} ms at most, ${opened()} connections, RSS ${calm} → ${most} MiB`,
    );
    assert.ok(most < 1024, "it fits its container");
  }
  assert.equal(await replica.stop(), 0);
});
