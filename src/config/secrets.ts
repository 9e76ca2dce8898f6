/** Keys whose whole value is nobody's business: users with their passwords, addresses that are secrets by themselves. */
export const SECRET_KEYS: readonly string[] = ['notify', 'console.users'];

/** Takes names and passwords out of addresses, also of misspelt ones, so that a configuration can be quoted. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/(\b[a-z][a-z0-9+.-]*:\/*)[^\s"']*@/gi, '$1***@')
    .replace(/([?&](?:password|token|secret|key|auth)=)[^&\s"']*/gi, '$1***');
}
