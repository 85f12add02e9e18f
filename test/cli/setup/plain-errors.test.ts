import assert from "node:assert/strict";
import { test } from "node:test";
import { withPlainErrors } from "../../../src/cli/setup/plain-errors.ts";
import { describeError, ReadError, readFailure } from "../../../src/errors.ts";
import type { Adapter, ServiceRead, Snapshot } from "../../../src/model/adapter.ts";
import { createSecrets } from "../../../src/secrets.ts";

const signal = new AbortController().signal;
const poll = { trigger: "poll" } as const;
const KEY = "dc1/default/a";

function plain(read: Adapter["read"], waitForChange?: Adapter["waitForChange"]): Adapter {
  const secrets = createSecrets();
  secrets.add("t0p-s3cr3t");
  const adapter = { registry: "dc1", read, ...(waitForChange === undefined ? {} : { waitForChange }) };
  return withPlainErrors(adapter, secrets);
}

function snapshot(services: readonly ServiceRead[], incomplete?: string): Snapshot {
  return { registry: "dc1", services, revision: "1", ...(incomplete === undefined ? {} : { incomplete }) };
}

const evil = () =>
  new Error("Cannot read", { cause: new ReadError("denied", "answered 403: \u001b[2Jt0p-s3cr3t\u202e is unknown") });
const SHOWN = "Cannot read: answered 403:  [2J[secret]  is unknown";

test("an error that is thrown has no secret, nothing that a terminal obeys, and its kind", async () => {
  const { read, waitForChange } = plain(
    () => Promise.reject(evil()),
    () => Promise.reject(evil()),
  );
  for (const done of [read(signal, poll), waitForChange?.("1", signal)])
    await assert.rejects(
      async () => done,
      (error) => {
        assert.equal(describeError(error), SHOWN);
        assert.equal(readFailure(error), "denied");
        return true;
      },
    );
});

test("neither have the failed reads and what is missing of a snapshot; the same read stays the same", async () => {
  const failed: ServiceRead = { state: "failed", key: KEY, cause: evil() };
  const fine: ServiceRead = { state: "failed", key: KEY, cause: new Error("gone") };
  const { read } = plain(async () => snapshot([failed, fine], "all but t0p-s3cr3t\r"));
  const [first, second] = [await read(signal, poll), await read(signal, poll)];
  assert.equal(first.incomplete, "all but [secret] ");
  const [one] = first.services;
  assert.ok(one?.state === "failed");
  assert.equal(describeError(one.cause), SHOWN);
  assert.equal(first.services[0], second.services[0]);
  assert.equal(first.services[1], fine);
});

test("what is fit to be shown is handed on as it is", async () => {
  const given = snapshot([{ state: "failed", key: KEY, cause: new ReadError("timeout", "too late") }], "a part");
  assert.equal(await plain(async () => given).read(signal, poll), given);
  const error = new ReadError("timeout", "too late");
  await assert.rejects(plain(() => Promise.reject(error)).read(signal, poll), (thrown) => thrown === error);
});
