/**
 * How a Python worker on Redis is told to end without losing a message: kombu closes its connection over an answer it has not read, and
 * the message in it, which it has popped and not written down, is gone. So it first stops asking, and reads what it asked for.
 */
import type { ChildProcess } from 'node:child_process';
import { ended, type PythonCelery } from '../python-celery.ts';

/** Its second answer to a ping comes from a turn of its event loop after the one in which the last message could be read. */
const stopAsking = `
import time
from celery.utils.nodenames import default_nodename
# Workers of umbel that are there hear everything that is not for one node.
node = default_nodename(None)
def asked(command, **more):
    [reply] = app.control.broadcast(command, destination=[node], reply=True, limit=1, timeout=60, **more)
    assert list(reply) == [node], reply
asked('cancel_consumer', arguments={'queue': 'celery'})
client = app.connection().default_channel.client
while any(one['cmd'] == 'brpop' and 'b' in one['flags'] for one in client.client_list()):
    time.sleep(0.02)
asked('ping')
asked('ping')
`;

/** Its exit status. What it holds goes back; `telling` is called just before it is told. */
export async function endInGoodOrder(celery: PythonCelery, python: ChildProcess, telling: () => void = () => {}): Promise<number | null> {
  await celery.script(stopAsking).rest();
  telling();
  await ended(python, 'SIGTERM');
  return python.exitCode;
}
