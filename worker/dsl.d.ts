/** The DSL file, bundled as text: a Worker reads no files. */
declare module "*.yaml" {
  const text: string;
  export default text;
}
