/** What systemd would hear: one line per message, as a Python string. Python has Unix datagram sockets, Node has not. */
import type { Test } from 'tap';
import { type ScriptProcess, startScript } from './script-process.ts';

const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0') if sys.argv[1].startswith('@') else sys.argv[1])
print('bound', flush=True)
while True: print(repr(s.recv(4096).decode()), flush=True)
`;

/** Resolves when it listens at `address`, a path or an abstract name with @. */
export async function startNotifyReceiver(t: Test, address: string): Promise<ScriptProcess> {
  const systemd = startScript(t, '', { via: ['python3', '-c', receiver, address, 'ignored'] });
  await systemd.line(/^bound/);
  return systemd;
}
