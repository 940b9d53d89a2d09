/** What a device may do, chosen in words. */
import type { JSX } from 'preact';

import { Field } from '../parts.tsx';
import { ROLES, type Role } from '../source.ts';
import { ROLE_WORDS } from '../words.ts';

export function RoleField({ role, onRole }: { role: Role; onRole: (role: Role) => void }): JSX.Element {
  return (
    <Field label="Role">
      {(ids) => (
        <select {...ids} value={role} onChange={(event) => onRole(event.currentTarget.value as Role)}>
          {ROLES.map((each) => (
            <option key={each} value={each}>
              {ROLE_WORDS[each]}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
