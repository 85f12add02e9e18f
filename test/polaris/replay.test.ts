import assert from "node:assert/strict";
import { test } from "node:test";
import { startPolaris } from "./polaris.ts";
import { recordingNames } from "./recordings.ts";
import { type Interludes, NOT_REPLAYED, replay } from "./replay.ts";

const names = recordingNames();
const replayable = names.filter((name) => !Object.keys(NOT_REPLAYED).some((start) => name.startsWith(start)));

/** The instance with a heartbeat check that had one heartbeat. */
const BEATEN_ONCE = "8a15cec1ac2bcd4535b8b5e81946b0f1c444038f";

function openStory(): Interludes {
  let undo = () => {};
  return {
    "041-discover-instance-first": (polaris) => polaris.lapse(BEATEN_ONCE),
    "120-deregister-stale": (polaris) => {
      undo = polaris.fault({ kind: "late deregistration" });
    },
    "124-deregister-touched": () => undo(),
  };
}

const strictStory: Interludes = {
  "331-subuser-services": (polaris) => polaris.setToken("TOKEN-SUB", "none"),
  "335-subuser-ro-services": (polaris) => polaris.setToken("TOKEN-SUB", "read"),
};

const stories = [
  { server: "open", of: (name: string) => name < "3", interludes: openStory(), strict: false },
  { server: "strict", of: (name: string) => name >= "3", interludes: strictStory, strict: true },
];

for (const { server, of, interludes, strict } of stories) {
  test(`startPolaris() answers what was asked of the ${server} server as it did`, async (t) => {
    const polaris = await startPolaris({ strict });
    t.after(() => polaris.stop());
    for (const { name, got, want } of await replay(polaris, replayable.filter(of), interludes))
      await t.test(name, () => assert.equal(got, want));
  });
}

test("every recording is replayed or excused", () => {
  assert.equal(replayable.length, 109);
  assert.equal(names.length, 126);
  for (const start of Object.keys(NOT_REPLAYED))
    assert.ok(
      names.some((name) => name.startsWith(start)),
      start,
    );
});
