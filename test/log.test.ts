import assert from "node:assert/strict";
import { test } from "node:test";
import { createLog } from "../src/log.ts";
import { createSecrets } from "../src/secrets.ts";
import { isSeen } from "../src/text.ts";

const EVIL = "\u001b[2J\u009b31m\u202e\u007f\u2028";

function logged(pretty: boolean): { readonly log: ReturnType<typeof createLog>; readonly lines: string[] } {
  const lines: string[] = [];
  const secrets = createSecrets();
  secrets.add("t0p-s3cr3t");
  const stream = { write: (line: string) => void lines.push(line) };
  return { log: createLog({ level: "info", pretty, stream, secrets }), lines };
}

for (const pretty of [false, true]) {
  const form = pretty ? "for people" : "in JSON";

  test(`a log ${form} has nothing that a terminal would obey`, () => {
    const { log, lines } = logged(pretty);
    log.warn({ registry: EVIL, error: new Error(EVIL), deep: { list: [EVIL] } }, `message ${EVIL}`);
    const ours = lines.join("").replaceAll("\n", "");
    assert.ok(ours.includes("\\u202e"), ours);
    assert.ok(isSeen(ours), JSON.stringify(ours));
  });

  test(`a log ${form} has no secret, wherever it stands`, () => {
    const { log, lines } = logged(pretty);
    const error = new Error("Cannot read", { cause: new Error("answered 403: t0p-s3cr3t is unknown") });
    log.child({ of: "t0p-s3cr3t" }).warn({ error, deep: { deeper: { url: "/?q=t0p-s3cr3t" } } }, "t0p-s3cr3t");
    assert.doesNotMatch(lines.join(""), /t0p/);
    assert.match(lines.join(""), /\[secret\]/);
  });
}

test("a log in JSON says what was said", () => {
  const { log, lines } = logged(false);
  log.info({ registry: EVIL }, "a message");
  const { registry, msg } = JSON.parse(lines[0] ?? "");
  assert.deepEqual([registry, msg], [EVIL, "a message"]);
});
