import { beforeAll, describe, expect, it } from "vitest";
import { openLogger, realClock } from "../io/index.ts";
import { loadParser } from "../route/index.ts";
import {
  encodeCommandComplete,
  encodeQuery,
  encodeReadyForQuery,
  transactionState,
} from "../wire/index.ts";
import { FakeClient } from "../../test/helpers/fake-postgres.ts";
import { aConversation } from "../../test/helpers/session-script.ts";
import { Forwarding } from "./forwarding-shell.ts";
import { defaultWishes } from "./survival-wishes.ts";
import type { Session } from "./session-shell.ts";

beforeAll(loadParser);

describe("a client whose messages are looked at one by one", () => {
  const logger = openLogger({ file: undefined, process: "test" });

  const begin = (): { client: FakeClient; forwarding: Forwarding } => {
    const client = new FakeClient();
    const options = { client, logger, clock: realClock };
    const forwarding = new Forwarding(
      options as unknown as ConstructorParameters<typeof Forwarding>[0],
    );
    const conversation = aConversation({ wishes: { ...defaultWishes, consistency: "eventual" } });
    const session = {
      start: () => undefined,
      conversation,
      survivor: { isLive: true },
      tenancy: { pin: () => undefined },
      target: { role: "reader" },
    };
    forwarding.start(session as unknown as Session, Buffer.alloc(0));
    return { client, forwarding };
  };

  it("hears of what is no protocol, though it comes up only when a server has answered", async () => {
    const { client, forwarding } = begin();
    const garbage = Buffer.from([0x01, 0, 0, 0, 4]);
    client.send(encodeQuery("select 1"), encodeQuery("select 2"), garbage);
    expect(client.hasEnded).toBe(false);
    const answer = [encodeCommandComplete("SELECT 1"), encodeReadyForQuery(transactionState.idle)];
    forwarding.link.write(Buffer.concat(answer));
    expect(client.hasEnded).toBe(true);
    expect(await client.hear()).toContain("08P01");
  });
});
