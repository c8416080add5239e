import { present } from "../../base/assert.ts";
import { timeline as timelineOf } from "../../base/ids.ts";
import { advance, lsnZero } from "../../base/lsn.ts";
import { judgeBranch, judgeSystem, type WantedWriter } from "../../log-driver/index.ts";
import { formatHistoryFile, type HistoryLine } from "../../wal/index.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

const systemId = "7300000000000000001";

export const s23: ScenePlay = {
  id: "S23",
  what: "the promoted PostgreSQL branched elsewhere than the epoch is registered to begin",
  expected: "the driver resigns before it asks for a stream, so nothing is forwarded",
  play: () => {
    const scene = new Scene();
    const first = scene.opens(1);
    scene.writeDurably(first);
    first.forget();
    // Some claims keep the timeline; one that takes a new one is wanted.
    let next = scene.opens(2);
    for (let n = 0; next.driver?.timeline === 1; n++) {
      scene.expect("ten claims are enough", n < 10);
      next.forget();
      next = scene.opens(2);
    }
    const { start, timeline, history } = present(next.driver, "it is open");
    const wanted: WantedWriter = { systemId, timeline, history, reach: start };
    const end = advance(start, 100);
    const judge = (line: HistoryLine | undefined): string | undefined =>
      judgeBranch(formatHistoryFile(line ? [line] : []), wanted);

    const right: HistoryLine = { parent: timelineOf(1), switchLsn: start, reason: "promotion" };
    const isSo = (why: string | undefined): boolean => why?.includes("it branched from") ?? false;
    scene.expect("the right one is taken", judge(right) === undefined);
    for (const bytes of [-8, -1, 1, 8, 4096])
      scene.expect(
        `${bytes} bytes beside it is refused`,
        isSo(judge({ ...right, switchLsn: advance(start, bytes) })),
      );
    scene.expect("another parent", isSo(judge({ ...right, parent: timelineOf(7) })));
    scene.expect("the beginning of time", isSo(judge({ ...right, switchLsn: lsnZero })));
    scene.expect("no branch at all", isSo(judge(undefined)));

    const other = judgeSystem({ systemId, timeline: timelineOf(7), end }, wanted);
    scene.expect("another timeline", other !== undefined);
    const alien = judgeSystem({ systemId: "1", timeline, end }, wanted);
    scene.expect("another system", alien !== undefined);
  },
};
