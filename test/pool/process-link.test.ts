/** What a child says while it is not listened to. */
import t from 'tap';
import type { ChildLink, LinkParams } from '../../src/pool/child-link.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const pieces = 40;
/** Far longer than a busy machine takes for some of them. */
const restMs = 500;
/** Each in a piece of its own, so that the other side gets them one by one. */
const script = `
const { writeSync } = require('node:fs');
let said = 0;
const speak = () => {
  writeSync(4, 'x'.repeat(10));
  if (++said < ${pieces}) setTimeout(speak, 2);
};
speak();
// Until it is ended: the end of a child ends every rest.
setInterval(() => {}, 1000);
`;

t.test('what a child has said during a rest is heard in one piece, however often that is', async (t) => {
  const heard: number[] = [];
  const settings = { workdir: process.cwd(), nodeName: 'test@h', redirectStdoutsLevel: 'warning', redirectStdouts: true, concurrency: 1 };
  let link: ChildLink | null = null;
  await new Promise<void>((resolve) => {
    link = processChildren({ execPath: process.execPath, args: ['-e', script] }).open({
      index: 1,
      settings,
      jobs: new Map(),
      log: new RecordingLog(),
      events: {
        onBytes: (bytes: Buffer) => {
          heard.push(bytes.length);
          if (heard.reduce((sum, length) => sum + length, 0) === pieces * 10) link?.kill('SIGKILL');
          else link?.rest(restMs);
        },
        onGone: () => resolve(),
      },
    } as unknown as LinkParams);
  });
  t.equal(
    heard.reduce((sum, length) => sum + length, 0),
    pieces * 10,
  );
  t.ok(heard.length < pieces / 2, `${pieces} pieces were heard in ${heard.length}: ${heard.join(' ')}`);
});
