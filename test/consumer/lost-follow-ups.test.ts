/** What follows from a task that ends with no child to say it. */
import t from 'tap';
import { signature } from '../../src/canvas/signature.ts';
import { lostFollowUps } from '../../src/consumer/lost-follow-ups.ts';
import { timeLimitExceeded } from '../../src/protocol/exception.ts';
import { encodeTask, readContent, readReceipt } from '../../src/protocol/task-message.ts';
import { taskOffer } from './doubles.ts';

t.test('its error callbacks, each in the style it takes', async (t) => {
  const errbacks = [signature('tasks.alarm', ['loud']), signature('tasks.note'), signature('py.unknown')];
  const delivery = encodeTask({ task: 'tasks.stuck', id: 'id-1', args: [7], kwargs: {}, origin: 'gen1@test', errbacks, rootId: 'root' });
  const receipt = readReceipt(delivery);
  if (receipt.kind !== 'task') throw new Error(receipt.kind);
  const offers = [taskOffer('tasks.alarm', { takesError: true }), taskOffer('tasks.note')];
  const { followUps, unsupported } = lostFollowUps(
    { delivery, header: receipt.header },
    {
      tasks: new Map(offers.map((offer) => [offer.name, offer])),
      hostname: 'worker@test',
      exception: timeLimitExceeded(3),
      traceback: 'where it stood',
    },
  );
  t.equal(unsupported, undefined);
  const sent = new Map(followUps?.map(({ meta, body }) => [meta.taskName, { meta, args: readContent({ ...meta, body }, 2).args }]));
  t.equal(sent.size, 3);
  t.match(sent.get('tasks.alarm'), {
    meta: { headers: { parent_id: 'id-1', root_id: 'root', group: null } },
    args: [
      { id: 'id-1', name: 'tasks.stuck', args: [7], hostname: 'worker@test' },
      { exc_type: 'TimeLimitExceeded', exc_message: [3] },
      'where it stood',
      'loud',
    ],
  });
  t.strictSame(sent.get('tasks.note')?.args, ['id-1']);
  t.strictSame(sent.get('py.unknown')?.args, ['id-1']);
});
