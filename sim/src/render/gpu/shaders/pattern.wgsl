// Patterns that modulate the base colour of a material. The twin of `cpu/pattern.rs` and `cpu/noise.rs`.

// A surface point in the frame of the instance, metres, its unit normal, and the width that a pixel covers there, metres.
struct Site {
    point: vec3f,
    normal: vec3f,
    footprint: f32,
}

fn checker(site: Site, cell: f32) -> f32 {
    // Evaluated half a cell below the surface, where no face of a box lies on the border between two cells.
    let inside = fma(site.normal, vec3f(-0.5 * cell), site.point);
    let slope = 4.0 * cell / (site.footprint + 1e-6);
    let phase = fma(inside, vec3f(0.5 / cell), vec3f(0.25));
    let distance = abs(phase - floor(phase) - 0.5) - 0.25;
    let wave = clamp(distance * slope, vec3f(-1.0), vec3f(1.0));
    return fma(wave.x * wave.y * wave.z, 0.5, 0.5);
}

fn grid_lines(site: Site, cell: f32, width: f32) -> f32 {
    let inv_footprint = 1.0 / (site.footprint + 1e-6);
    let densest = min(width * inv_footprint, 1.0);
    let phase = fma(site.point, vec3f(1.0 / cell), vec3f(0.5));
    let distance = abs(phase - floor(phase) - 0.5) * cell;
    let cover = fma(0.5 * width - distance, vec3f(inv_footprint), vec3f(0.5));
    let line = select(vec3f(0.0), clamp(cover, vec3f(0.0), vec3f(densest)), abs(site.normal) < vec3f(0.8));
    return max(max(line.x, line.y), line.z);
}

// One where a detail is two pixels wide or more, zero where it is one pixel wide or less.
fn fade(site: Site, detail: f32) -> f32 {
    return clamp(detail / (site.footprint + 1e-6) - 1.0, 0.0, 1.0);
}

fn hash_unit(hash: u32) -> f32 {
    var h = (hash ^ (hash >> 15u)) * 0x2c1b3c6du;
    h = h ^ (h >> 12u);
    return bitcast<f32>((h >> 9u) | 0x3f800000u) - 1.0;
}

// Smooth noise in [0, 1] over an integer hash of the corners of a unit grid.
fn value_noise(p: vec3f) -> f32 {
    let cell = floor(p);
    let f = p - cell;
    let s = f * f * (3.0 - 2.0 * f);
    let low = vec3u(vec3i(cell)) * vec3u(0x8da6b343u, 0xd8163841u, 0xcb1ab31fu);
    let high = low + vec3u(0x8da6b343u, 0xd8163841u, 0xcb1ab31fu);
    let near = mix(
        mix(hash_unit(low.x ^ low.y ^ low.z), hash_unit(high.x ^ low.y ^ low.z), s.x),
        mix(hash_unit(low.x ^ high.y ^ low.z), hash_unit(high.x ^ high.y ^ low.z), s.x),
        s.y,
    );
    let far = mix(
        mix(hash_unit(low.x ^ low.y ^ high.z), hash_unit(high.x ^ low.y ^ high.z), s.x),
        mix(hash_unit(low.x ^ high.y ^ high.z), hash_unit(high.x ^ high.y ^ high.z), s.x),
        s.y,
    );
    return mix(near, far, s.z);
}

fn blobs(site: Site, cell: f32) -> f32 {
    let sharp = fade(site, cell);
    if (sharp <= 0.0) {
        return 0.5;
    }
    return fma(value_noise(site.point * (1.0 / cell)) - 0.5, sharp, 0.5);
}

// A board sawn along x: growth rings around a distant, wavering pith, and fibres.
fn wood(site: Site, ring: f32) -> f32 {
    let mean = 1.0 / 3.0;
    let p = site.point * (1.0 / ring);
    var grain = 0.62 * mean + 0.15;
    let sharp_rings = fade(site, ring);
    if (0.0 < sharp_rings) {
        let y = p.y - 1.7;
        let z = p.z + 5.3;
        let rings = fma(value_noise(p * vec3f(0.06, 0.25, 0.25)), 2.6, sqrt(fma(y, y, z * z)));
        let phase = rings - floor(rings);
        let late = min(phase * 1.25, (1.0 - phase) * 5.0);
        grain = fma(fma(late, late, -mean), sharp_rings * 0.62, grain);
    }
    let sharp_fibres = fade(site, ring / 7.0);
    if (0.0 < sharp_fibres) {
        grain = fma(value_noise(p * vec3f(0.9, 9.0, 9.0)) - 0.5, sharp_fibres * 0.3, grain);
    }
    return grain;
}

fn wrapped(x: i32, n: i32) -> u32 {
    return u32(select(select(x, 0, n <= x), n - 1, x < 0));
}

// The texture on the plane that the surface faces most, bilinear, repeated every `size` metres across.
fn image(texture: u32, site: Site, size: f32) -> vec3f {
    let n = abs(site.normal);
    let faces_x = n.y < n.x && n.z < n.x;
    let faces_z = !faces_x && n.y <= n.z;
    let u = select(site.point.x, site.point.y, faces_x);
    let v = select(-site.point.z, -site.point.y, faces_z);
    let n_levels = tables[texture];
    let full = vec2f(f32(tables[texture + 2u]), f32(tables[texture + 3u]));
    let n_texels = max(site.footprint / size * full.x, 1.0);
    let level = texture + 1u + 3u * min(u32(round(log2(n_texels))), n_levels - 1u);
    let first = tables[level];
    let extent = vec2i(i32(tables[level + 1u]), i32(tables[level + 2u]));
    let at = vec2f(u, v) / vec2f(size, size * full.y / full.x);
    let position = clamp((at - floor(at)) * vec2f(extent), vec2f(0.0), vec2f(extent)) - 0.5;
    let corner = floor(position);
    let f = position - corner;
    let x = vec2u(wrapped(i32(corner.x), extent.x), wrapped(i32(corner.x) + 1, extent.x));
    let y = vec2u(wrapped(i32(corner.y), extent.y), wrapped(i32(corner.y) + 1, extent.y)) * u32(extent.x) + first;
    let top = mix(texels[y.x + x.x].xyz, texels[y.x + x.y].xyz, f.x);
    let bottom = mix(texels[y.y + x.x].xyz, texels[y.y + x.y].xyz, f.x);
    return mix(top, bottom, f.y);
}

// The colour of the surface, linear RGB.
fn albedo(material: Material, site: Site) -> vec3f {
    let change = material.other - material.colour;
    switch (material.pattern) {
        case CHECKER: { return fma(change, vec3f(checker(site, material.cell)), material.colour); }
        case GRID: { return fma(change, vec3f(grid_lines(site, material.cell, material.width)), material.colour); }
        case WOOD: { return fma(change, vec3f(wood(site, material.cell)), material.colour); }
        case NOISE: { return fma(change, vec3f(blobs(site, material.cell)), material.colour); }
        case IMAGE: { return material.colour * image(material.texture, site, material.cell); }
        default: { return material.colour; }
    }
}
