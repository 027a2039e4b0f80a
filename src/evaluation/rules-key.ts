/** Under which key the rules of a scope are published. Names have no colon (`scope.ts`), so no two scopes share one. */
export const rulesKey = ({ tenant, environment }: { readonly tenant: string; readonly environment: string }): string =>
  `proviso:rules:1:${tenant}:${environment}`;
