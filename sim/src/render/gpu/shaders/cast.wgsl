// Intersections of camera rays with the shapes, and surface normals. The twin of `cpu/primitives.rs`: directions have
// length one along the optical axis, so that the parameter of a hit is its depth.

fn accept(is_valid: bool, t: f32) -> f32 {
    return select(MISS, t, is_valid && NEAR < t);
}

fn radius_squared_at(o: vec3f, d: vec3f, t: f32) -> f32 {
    let p = fma(vec2f(t), d.xy, o.xy);
    return dot(p, p);
}

fn hit_plane(o: vec3f, d: vec3f) -> f32 {
    return accept(0.0 < o.z && d.z < 0.0, -o.z / d.z);
}

fn hit_disc(radius: f32, o: vec3f, d: vec3f) -> f32 {
    let t = -o.z / d.z;
    return accept(radius_squared_at(o, d, t) <= radius * radius, t);
}

fn hit_box(half: vec3f, o: vec3f, d: vec3f) -> f32 {
    let inv = safe_recip3(d);
    let middle = -o * inv;
    let reach = half * abs(inv);
    let near = middle - reach;
    let far = middle + reach;
    let t = max(max(near.x, near.y), near.z);
    return accept(t <= min(min(far.x, far.y), far.z), t);
}

// Discriminants are computed from cross products, which stay accurate when the shape is small and far.
fn hit_ball(radius: f32, o: vec3f, d: vec3f) -> f32 {
    let a = dot(d, d);
    let c = cross(o, d);
    let discriminant = fma(a, radius * radius, -dot(c, c));
    return accept(0.0 <= discriminant, (-dot(o, d) - sqrt(max(discriminant, 0.0))) / a);
}

// Intersection with the infinite cylinder around z; a ray along the axis enters at minus infinity.
struct Tube {
    is_met: bool,
    entry: f32,
    exit: f32,
}

fn tube(radius: f32, o: vec3f, d: vec3f) -> Tube {
    let a = max(dot(d.xy, d.xy), 1e-12);
    let c = fma(o.x, d.y, -(o.y * d.x));
    let discriminant = fma(a, radius * radius, -(c * c));
    let root = sqrt(max(discriminant, 0.0));
    let b = dot(o.xy, d.xy);
    return Tube(0.0 <= discriminant, (-b - root) / a, (-b + root) / a);
}

fn hit_capsule(radius: f32, half_length: f32, o: vec3f, d: vec3f) -> f32 {
    let side = tube(radius, o, d);
    if (!side.is_met) {
        return MISS;
    }
    let z = fma(side.entry, d.z, o.z);
    if (abs(z) <= half_length) {
        return accept(true, side.entry);
    }
    return hit_ball(radius, vec3f(o.xy, o.z - select(half_length, -half_length, z < 0.0)), d);
}

fn hit_cylinder(radius: f32, half_length: f32, o: vec3f, d: vec3f) -> f32 {
    let side = tube(radius, o, d);
    let inv_z = safe_recip(d.z);
    let middle = -o.z * inv_z;
    let reach = half_length * abs(inv_z);
    let t = max(side.entry, middle - reach);
    return accept(side.is_met && t <= min(side.exit, middle + reach), t);
}

struct ConeSide {
    is_met: bool,
    entry: f32,
}

// Where a ray enters through the side, which is `x² + y² = slope² w²` with `w = z - half_length`, the height above the
// apex.
fn cone_side(radius: f32, half_length: f32, o: vec3f, d: vec3f) -> ConeSide {
    let slope = radius / (2.0 * half_length);
    let k = slope * slope;
    let ow = o.z - half_length;
    let a = dot(d.xy, d.xy) - k * d.z * d.z;
    let b = dot(o.xy, d.xy) - k * ow * d.z;
    let cx = fma(o.x, d.z, -(ow * d.x));
    let cy = fma(o.y, d.z, -(ow * d.y));
    let cz = fma(o.x, d.y, -(o.y * d.x));
    let discriminant = fma(k, fma(cx, cx, cy * cy), -(cz * cz));
    let t = (-b - sqrt(max(discriminant, 0.0))) / a;
    let w = fma(t, d.z, ow);
    return ConeSide(0.0 <= discriminant && w <= 0.0 && -2.0 * half_length <= w, t);
}

fn hit_cone(radius: f32, half_length: f32, o: vec3f, d: vec3f) -> f32 {
    let side = cone_side(radius, half_length, o, d);
    let t_base = (-half_length - o.z) / d.z;
    let is_in_base = 0.0 < d.z && radius_squared_at(o, d, t_base) <= radius * radius;
    return min(accept(side.is_met, side.entry), accept(is_in_base, t_base));
}

fn up_or_down(sign: f32) -> vec3f {
    return vec3f(0.0, 0.0, select(1.0, -1.0, sign < 0.0));
}

fn normal_box(half: vec3f, p: vec3f) -> vec3f {
    let depth = abs(p) - half;
    let is_x = depth.y <= depth.x && depth.z <= depth.x;
    let is_y = depth.z <= depth.y && !is_x;
    let side = select(vec3f(1.0), vec3f(-1.0), p < vec3f(0.0));
    return side * select(vec3f(0.0), vec3f(1.0), vec3<bool>(is_x, is_y, !(is_x || is_y)));
}

fn normal_cylinder(radius: f32, half_length: f32, p: vec3f) -> vec3f {
    let rho = length(p.xy);
    if (rho - radius < abs(p.z) - half_length) {
        return up_or_down(p.z);
    }
    return vec3f(p.xy / rho, 0.0);
}

fn normal_cone(radius: f32, half_length: f32, p: vec3f) -> vec3f {
    let slope = radius / (2.0 * half_length);
    let rho = length(p.xy);
    if (rho - (half_length - p.z) * slope < -half_length - p.z) {
        return up_or_down(-1.0);
    }
    let norm = 1.0 / sqrt(1.0 + slope * slope);
    return vec3f(p.xy / max(rho, 1e-12) * norm, norm * slope);
}
